"""RecurrentGemma (Griffin; De et al. 2024): linear recurrences, windowed attention in every third layer."""

from __future__ import annotations

import math
from dataclasses import replace

from exporter.families.family import ACTIVATIONS, Family
from exporter.families.gemma import gemma_norm
from exporter.families.llama import LLAMA_NAMES
from exporter.families.names import StateNames
from exporter.families.reader import ConfigReader
from exporter.families.rope import flat_parameters, rotary
from exporter.families.shape import Keys, Shape, read_shape, tied
from exporter.spec import (
    Activation,
    AttentionSpec,
    EmbeddingSpec,
    HeadSpec,
    LayerSpec,
    MlpSpec,
    ModelSpec,
    RgLruSpec,
    RopeKind,
)

RECURRENT, ATTENTION = "recurrent", "attention"
#: Of blocks where block_types does not say otherwise.
PATTERN = [RECURRENT, RECURRENT, ATTENTION]
KEYS = Keys(kv_heads="num_key_value_heads", head_dim="head_dim", max_length="")
PART = "partial_rotary_factor"


def read(config: ConfigReader) -> ModelSpec:
    """Gemma with half of each feed-forward block's width, biases in it, and soft caps of the logits."""
    shape = read_shape(config, KEYS, vocab=256000, hidden=2560, width=3 * 2560, layers=26, heads=10)
    norm = gemma_norm(config)
    activation = config.choice("hidden_activation", ACTIVATIONS, "gelu_pytorch_tanh")
    if shape.width < 2:
        config.problem(f"intermediate_size={shape.width} must be at least 2")
    mlp = MlpSpec(shape.width // 2, activation, gated=True, up_bias=True, down_bias=True)
    layer = LayerSpec(mlp=mlp, attention_norm=norm, mlp_norm=norm)
    own = {
        RECURRENT: replace(layer, state=_state(config, shape, activation)),
        ATTENTION: replace(layer, attention=_attention(config, shape)),
    }
    pattern = config.choices("block_types", own, 1, more=True) or PATTERN
    layers = [own[pattern[index % len(pattern)]] for index in range(shape.layers)]
    head = HeadSpec(tied(config, True), softcap=config.number("logits_soft_cap", 30.0, positive=True))
    embedding = EmbeddingSpec(shape.hidden, scale=_in_bfloat16(math.sqrt(shape.hidden)), rounded_scale=True)
    return shape.model("recurrent_gemma", layers, norm, head, embedding)


def _attention(config: ConfigReader, shape: Shape) -> AttentionSpec:
    """Half of each head turns; null says that all of it does."""
    turning = rotary(
        config,
        flat_parameters(config),
        shape.head_dim,
        0,
        theta=config.number("rope_theta", 10_000.0, positive=True),
        part=config.number(PART, 1.0 if PART in config else 0.5),
        whole=False,
        kinds={"default": RopeKind.DEFAULT},
    )
    return shape.attention(
        rotary=turning,
        qkv_bias=config.flag("attention_bias", False),
        out_bias=True,
        window=config.integer("attention_window_size", 2048),
    )


def _state(config: ConfigReader, shape: Shape, activation: Activation) -> RgLruSpec:
    channels = config.optional_integer("lru_width", shape.hidden) or shape.hidden
    if channels % shape.heads:
        config.problem(f"lru_width={channels} is not divisible by num_attention_heads={shape.heads}")
    return RgLruSpec(channels, shape.heads, config.integer("conv1d_width", 4), activation)


def _in_bfloat16(value: float) -> float:
    """What bfloat16 keeps of a number, whatever the dtype of the model."""
    mantissa, exponent = math.frexp(value)
    return math.ldexp(round(math.ldexp(mantissa, 8)), exponent - 8)


BLOCK = "temporal_block."
NAMES = replace(
    LLAMA_NAMES,
    attention_norm="temporal_pre_norm",
    mlp_norm="channel_pre_norm",
    qkv=(f"{BLOCK}q_proj", f"{BLOCK}k_proj", f"{BLOCK}v_proj"),
    out=f"{BLOCK}o_proj",
    gate="mlp_block.gate_proj",
    up="mlp_block.up_proj",
    down="mlp_block.down_proj",
    final_norm="final_norm",
    state=StateNames(
        inputs=(f"{BLOCK}linear_x", f"{BLOCK}linear_y"),
        conv=(f"{BLOCK}conv_1d",),
        rates=(f"{BLOCK}rg_lru.input_gate", f"{BLOCK}rg_lru.recurrent_gate"),
        decay=f"{BLOCK}rg_lru.recurrent_param",
        out=f"{BLOCK}linear_out",
    ),
)
RECURRENT_GEMMA = Family(
    read,
    NAMES,
    # Of how weights begin, of scaled positions, and what is worked out of block_types.
    harmless=(
        "final_w_init_variance_scale",
        "layers_block_type",
        "max_position_embeddings",
        "w_init_variance_scale",
    ),
    aliases={"sliding_window": "attention_window_size", "layer_types": "layers_block_type"},
)
