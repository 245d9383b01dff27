"""Qwen3-Next and Qwen3.5 (Qwen Team 2025, 2026): gated delta nets, gated attention in every fourth layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from exporter.families.experts import ROUTER_TRAINING, read_mixture
from exporter.families.family import ACTIVATIONS, Family
from exporter.families.gemma import gemma_attention, gemma_norm
from exporter.families.llama import NORMED_NAMES
from exporter.families.names import StateNames
from exporter.families.qwen_moe import qwen_experts, qwen_mixture, sparse_places
from exporter.families.reader import ConfigReader
from exporter.families.rope import read_rotary
from exporter.families.shape import FULL, LINEAR, Keys, Shape, gated_mlp, layer_kinds, read_shape, tied
from exporter.families.wrapped import Ties, Wrapped
from exporter.spec import (
    GatedDeltaSpec,
    HeadSpec,
    LayerSpec,
    MlpSpec,
    ModelSpec,
    MoeSpec,
    RouterSpec,
)

_SPARSE_KEYS = Keys(kv_heads="num_key_value_heads", head_dim="head_dim", width="")


def read_next(config: ConfigReader) -> ModelSpec:
    """Mixtures as in Qwen2-MoE, in layers that decoder_sparse_step and mlp_only_layers leave."""
    shape = read_shape(
        config,
        vocab=151936,
        hidden=2048,
        width=5632,
        layers=48,
        heads=16,
        kv_heads=2,
        head_dim=256,
        max_length=32768,
    )
    return _model(config, "qwen3_next", shape, _sparse(config, shape))


def read_text(config: ConfigReader) -> ModelSpec:
    """Dense feed-forward blocks."""
    shape = read_shape(
        config,
        vocab=248320,
        hidden=4096,
        width=12288,
        layers=32,
        heads=16,
        kv_heads=4,
        head_dim=256,
        max_length=32768,
    )
    mlp = gated_mlp(config, shape.width)
    return _model(config, "qwen3_5_text", shape, lambda layer: mlp)


def read_moe_text(config: ConfigReader) -> ModelSpec:
    """A mixture with a shared expert in every layer."""
    shape = read_shape(
        config,
        _SPARSE_KEYS,
        vocab=248320,
        hidden=2048,
        layers=40,
        heads=16,
        kv_heads=2,
        head_dim=256,
        max_length=32768,
    )
    shared = gated_mlp(config, config.integer("shared_expert_intermediate_size", 512))
    mixture = read_mixture(
        config,
        gated_mlp(config, config.integer("moe_intermediate_size", 512)),
        experts=config.integer("num_experts", 256),
        top_k=8,
        router=RouterSpec(normalise=True),
    )
    mixture = replace(mixture, shared=shared, shared_gate=True)
    return _model(config, "qwen3_5_moe_text", shape, lambda layer: mixture)


def _model(
    config: ConfigReader, model_type: str, shape: Shape, fed: Callable[[int], MlpSpec | MoeSpec]
) -> ModelSpec:
    norm = gemma_norm(config)
    turning = read_rotary(config, shape.head_dim, shape.max_length, partial=0.25)
    attention = gemma_attention(config, shape, turning, qk_norm=norm, gated=True)
    layer = LayerSpec(attention_norm=norm, mlp_norm=norm)
    own = {FULL: replace(layer, attention=attention), LINEAR: replace(layer, state=_delta(config))}
    kinds = enumerate(_kinds(config, shape.layers))
    layers = [replace(own[kind], mlp=fed(index)) for index, kind in kinds]
    return shape.model(model_type, layers, norm, HeadSpec(tied(config)))


def _kinds(config: ConfigReader, layers: int) -> list[str]:
    interval = config.integer("full_attention_interval", 4)
    every = [LINEAR if (layer + 1) % interval else FULL for layer in range(layers)]
    return layer_kinds(config, layers) or every


def _delta(config: ConfigReader) -> GatedDeltaSpec:
    key_heads = config.integer("linear_num_key_heads", 16)
    value_heads = config.integer("linear_num_value_heads", 32)
    if value_heads % key_heads:
        config.problem(
            f"linear_num_value_heads={value_heads} is not a multiple of linear_num_key_heads={key_heads}"
        )
    return GatedDeltaSpec(
        key_heads=key_heads,
        value_heads=value_heads,
        key_dim=config.integer("linear_key_head_dim", 128),
        value_dim=config.integer("linear_value_head_dim", 128),
        kernel=config.integer("linear_conv_kernel_dim", 4),
        activation=config.choice("hidden_act", ACTIVATIONS, "silu"),
        norm=replace(gemma_norm(config), offset=0.0, round_first=True),
    )


def _sparse(config: ConfigReader, shape: Shape) -> Callable[[int], MlpSpec | MoeSpec]:
    """The feed-forward block of each layer."""
    plain = gated_mlp(config, shape.width)
    shared = gated_mlp(config, config.integer("shared_expert_intermediate_size", 512))
    mixture = qwen_mixture(config, width=512, experts=512, top_k=10, normed=True)
    mixture = replace(mixture, shared=shared, shared_gate=True)
    mixed = sparse_places(config, shape.layers)
    return lambda layer: mixture if mixed[layer] else plain


# What only the class that reads images looks at.
IMAGES = ("image_token_id", "video_token_id", "vision_config")
_DELTA = StateNames(
    inputs=("linear_attn.in_proj_qkvz",),
    rates=("linear_attn.in_proj_ba",),
    conv=("linear_attn.conv1d",),
    decay="linear_attn.A_log",
    dt_bias="linear_attn.dt_bias",
    norm="linear_attn.norm",
    out="linear_attn.out_proj",
)
_APART = replace(
    _DELTA,
    inputs=("linear_attn.in_proj_qkv", "linear_attn.in_proj_z"),
    rates=("linear_attn.in_proj_b", "linear_attn.in_proj_a"),
)
# Drafting heads are not used unless asked for.
NAMES = replace(NORMED_NAMES, state=_DELTA, towers=("mtp",))
TEXT_NAMES = replace(
    NAMES,
    state=_APART,
    renames=((r"^model\.language_model\.", "model."),),
    # The tower of the class that reads images.
    towers=(*NAMES.towers, "visual"),
)

QWEN3_NEXT = Family(read_next, qwen_experts(NAMES), harmless=ROUTER_TRAINING)
QWEN3_5_TEXT = Family(read_text, TEXT_NAMES)
QWEN3_5_MOE_TEXT = Family(read_moe_text, qwen_experts(TEXT_NAMES), harmless=ROUTER_TRAINING)


def _wrapped(model_type: str, text: Family, *training: str) -> Family:
    return Wrapped(
        model_type,
        {f"{model_type}_text": text},
        own=True,
        keys=(*training, *IMAGES),
        tied=False,
        ties=Ties.SAME,
        part="",
    ).family()


QWEN3_5 = _wrapped("qwen3_5", QWEN3_5_TEXT)
# The mixtures have no intermediate_size; the tower does.
_MIXTURES = replace(QWEN3_5_MOE_TEXT, harmless=(*ROUTER_TRAINING, "intermediate_size"))
QWEN3_5_MOE = _wrapped("qwen3_5_moe", _MIXTURES, *ROUTER_TRAINING)
