"""LFM2 (Liquid AI 2025): gated short convolutions, and attention in some layers."""

from __future__ import annotations

from dataclasses import replace

from exporter.families.family import Family
from exporter.families.llama import LLAMA_NAMES
from exporter.families.names import StateNames
from exporter.families.reader import ConfigReader
from exporter.families.rope import read_rotary
from exporter.families.shape import FULL, Keys, Shape, read_shape, tied
from exporter.spec import (
    Activation,
    HeadSpec,
    LayerSpec,
    MlpSpec,
    ModelSpec,
    NormKind,
    NormSpec,
    ShortConvSpec,
)

CONV = "conv"
#: Heads are hidden / heads wide unless head_dim says otherwise.
KEYS = Keys(kv_heads="num_key_value_heads", head_dim="head_dim")


def read(config: ConfigReader) -> ModelSpec:
    """Attention where layer_types or full_attn_idxs say so, with query and key norms."""
    shape = read_shape(
        config,
        KEYS,
        vocab=65536,
        hidden=2560,
        width=12288,
        layers=32,
        heads=32,
        kv_heads=8,
        max_length=128000,
    )
    mlp = MlpSpec(_width(config, shape), Activation.SILU, gated=True)
    kinds = _kinds(config, shape.layers)
    layers = [replace(layer, mlp=mlp) for layer in lfm2_layers(config, shape, kinds)]
    return shape.model("lfm2", layers, lfm2_norm(config), HeadSpec(tied(config, True)))


def lfm2_norm(config: ConfigReader) -> NormSpec:
    return NormSpec(NormKind.RMS, config.number("norm_eps", 1e-5), round_first=True)


def lfm2_layers(config: ConfigReader, shape: Shape, kinds: list[str]) -> list[LayerSpec]:
    """Layers of these kinds without their feed-forward blocks."""
    norm = lfm2_norm(config)
    attention = shape.attention(
        rotary=read_rotary(config, shape.head_dim, shape.max_length, theta=1_000_000.0), qk_norm=norm
    )
    conv = ShortConvSpec(shape.hidden, config.integer("conv_L_cache", 3), config.flag("conv_bias", False))
    layer = LayerSpec(attention_norm=norm, mlp_norm=norm)
    own = {FULL: replace(layer, attention=attention), CONV: replace(layer, state=conv)}
    return [own[kind] for kind in kinds]


def _kinds(config: ConfigReader, layers: int) -> list[str]:
    types = config.choices("layer_types", (FULL, CONV), layers)
    attending = config.choices("full_attn_idxs", range(layers), 0, more=True)
    if types is not None:
        return types
    return [FULL if attending is None or layer in attending else CONV for layer in range(layers)]


def _width(config: ConfigReader, shape: Shape) -> int:
    """Two thirds of what the config says, times a factor, up to a whole multiple; or what it says."""
    factor = config.optional_number("block_ffn_dim_multiplier", 1.0, positive=True)
    multiple = config.integer("block_multiple_of", 256)
    if not config.flag("block_auto_adjust_ff_dim", True):
        return shape.width
    width = int(2 * shape.width / 3)
    return -(-int((factor or 1.0) * width) // multiple) * multiple


NAMES = replace(
    LLAMA_NAMES,
    attention_norm="operator_norm",
    mlp_norm="ffn_norm",
    out="self_attn.out_proj",
    q_norm="self_attn.q_layernorm",
    k_norm="self_attn.k_layernorm",
    gate="feed_forward.w1",
    up="feed_forward.w3",
    down="feed_forward.w2",
    final_norm="embedding_norm",
    state=StateNames(inputs=("conv.in_proj",), conv=("conv.conv",), out="conv.out_proj"),
)
LFM2 = Family(
    read, NAMES, aliases={"tie_embedding": "tie_word_embeddings", "block_ff_dim": "intermediate_size"}
)
