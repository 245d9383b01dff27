"""Gemma 1, 2 and 3 (text): scaled embeddings, norms that store scale - 1, tied heads."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from exporter.families.family import ACTIVATIONS, Family
from exporter.families.llama import LLAMA_NAMES
from exporter.families.reader import ConfigReader
from exporter.families.rope import read_rotary
from exporter.families.shape import Shape, read_shape, read_windows, rms_norm, tied
from exporter.spec import (
    Activation,
    AttentionSpec,
    EmbeddingSpec,
    HeadSpec,
    LayerSpec,
    MlpSpec,
    ModelSpec,
    NormSpec,
    RotarySpec,
)

GEMMA_NAMES = replace(LLAMA_NAMES, norm_offset=1.0)
GEMMA2_NAMES = replace(
    GEMMA_NAMES,
    attention_out_norm="post_attention_layernorm",
    mlp_norm="pre_feedforward_layernorm",
    mlp_out_norm="post_feedforward_layernorm",
)


def read_gemma(config: ConfigReader) -> ModelSpec:
    """Gemma 1 (Gemma Team 2024)."""
    shape = read_shape(
        config,
        vocab=256000,
        hidden=3072,
        width=24576,
        layers=28,
        heads=16,
        kv_heads=16,
        head_dim=256,
        max_length=8192,
    )
    norm = rms_norm(config)
    # The first release says "gelu" and means the tanh approximation; the reference corrects it so.
    activation = config.choice(
        "hidden_act", {**ACTIVATIONS, "gelu": Activation.GELU_TANH}, "gelu_pytorch_tanh"
    )
    config.expect("hidden_activation", None, "gelu_pytorch_tanh", why="the reference ignores it for gemma")
    attention = gemma_attention(config, shape, read_rotary(config, shape.head_dim, shape.max_length))
    layer = LayerSpec(
        attention, MlpSpec(shape.width, activation, gated=True), attention_norm=norm, mlp_norm=norm
    )
    return gemma_model(config, "gemma", shape, [layer] * shape.layers, norm)


def read_gemma2(config: ConfigReader) -> ModelSpec:
    """Gemma 2 (Gemma Team 2024): soft caps, norms around both branches, every other layer windowed."""
    shape = read_shape(
        config,
        vocab=256000,
        hidden=2304,
        width=9216,
        layers=26,
        heads=8,
        kv_heads=4,
        head_dim=256,
        max_length=8192,
    )
    turning = read_rotary(config, shape.head_dim, shape.max_length)
    windows = gemma_windows(config, shape, 2)
    caps = config.optional_number(
        "attn_logit_softcapping", _unless_null(config, "attn_logit_softcapping", 50.0)
    )
    attention = gemma_attention(config, shape, turning, softcap=caps, scale=query_scale(config))
    layers = [gemma_layer(config, shape, replace(attention, window=window)) for window in windows]
    final = config.optional_number(
        "final_logit_softcapping", _unless_null(config, "final_logit_softcapping", 30.0)
    )
    return gemma_model(config, "gemma2", shape, layers, rms_norm(config), final)


def gemma_windows(config: ConfigReader, shape: Shape, pattern: int) -> tuple[int | None, ...]:
    window = config.optional_integer("sliding_window", _unless_null(config, "sliding_window", 4096))
    return read_windows(config, shape.layers, window, lambda layer: (layer + 1) % pattern != 0)


def _unless_null(config: ConfigReader, key: str, default: Any) -> Any:
    """The default of a key that may be null, which then means "none"."""
    return None if key in config else default


def query_scale(config: ConfigReader) -> float:
    return config.number("query_pre_attn_scalar", 256.0) ** -0.5


def gemma_attention(config: ConfigReader, shape: Shape, turning: RotarySpec, **changes: Any) -> AttentionSpec:
    bias = config.flag("attention_bias", False)
    return shape.attention(rotary=turning, qkv_bias=bias, out_bias=bias, **changes)


def gemma_layer(config: ConfigReader, shape: Shape, attention: AttentionSpec) -> LayerSpec:
    norm = rms_norm(config)
    activation = config.choice("hidden_activation", ACTIVATIONS, "gelu_pytorch_tanh")
    mlp = MlpSpec(shape.width, activation, gated=True)
    return LayerSpec(
        attention, mlp, attention_norm=norm, attention_out_norm=norm, mlp_norm=norm, mlp_out_norm=norm
    )


def gemma_model(
    config: ConfigReader,
    model_type: str,
    shape: Shape,
    layers: list[LayerSpec],
    norm: NormSpec,
    softcap: float | None = None,
) -> ModelSpec:
    config.expect("use_bidirectional_attention", None, False, why="generation needs a causal model")
    embedding = EmbeddingSpec(shape.hidden, scale=math.sqrt(shape.hidden))
    return shape.model(model_type, layers, norm, HeadSpec(tied(config, True), softcap=softcap), embedding)


GEMMA = Family(read_gemma, GEMMA_NAMES)
GEMMA2 = Family(read_gemma2, GEMMA2_NAMES, harmless=("cache_implementation", "hidden_act"))
