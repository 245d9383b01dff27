"""Gemma 1 (Gemma Team 2024), and what all Gemmas share: scaled embeddings, tied heads, norms of scale - 1."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from exporter.families.family import ACTIVATIONS, Family
from exporter.families.llama import LLAMA_NAMES
from exporter.families.reader import ConfigReader
from exporter.families.rope import read_rotary
from exporter.families.shape import Shape, read_shape, rms_norm, tied
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


def read_gemma(config: ConfigReader) -> ModelSpec:
    """Llama's blocks with a gate of approximated GELU."""
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
    norm = gemma_norm(config)
    # The first release says "gelu" and means the tanh approximation; the reference corrects it so.
    activation = config.choice(
        "hidden_act", {**ACTIVATIONS, "gelu": Activation.GELU_TANH}, "gelu_pytorch_tanh"
    )
    attention = gemma_attention(config, shape, read_rotary(config, shape.head_dim, shape.max_length))
    layer = LayerSpec(
        attention, MlpSpec(shape.width, activation, gated=True), attention_norm=norm, mlp_norm=norm
    )
    return gemma_model(config, "gemma", shape, [layer] * shape.layers, norm)


def gemma_norm(config: ConfigReader) -> NormSpec:
    """Stored as scale - 1, and scaled in float32."""
    return replace(rms_norm(config), offset=1.0, round_first=False)


def gemma_attention(config: ConfigReader, shape: Shape, turning: RotarySpec, **changes: Any) -> AttentionSpec:
    bias = config.flag("attention_bias", False)
    return shape.attention(rotary=turning, qkv_bias=bias, out_bias=bias, **changes)


def gemma_model(
    config: ConfigReader,
    model_type: str,
    shape: Shape,
    layers: list[LayerSpec],
    norm: NormSpec,
    softcap: float | None = None,
) -> ModelSpec:
    config.expect("use_bidirectional_attention", None, False, why="generation needs a causal model")
    return scaled_model(config, model_type, shape, layers, norm, softcap)


def scaled_model(
    config: ConfigReader,
    model_type: str,
    shape: Shape,
    layers: list[LayerSpec],
    norm: NormSpec,
    softcap: float | None = None,
) -> ModelSpec:
    """With an embedding times the root of its size."""
    embedding = EmbeddingSpec(shape.hidden, scale=math.sqrt(shape.hidden), rounded_scale=True)
    return shape.model(model_type, layers, norm, HeadSpec(tied(config, True), softcap=softcap), embedding)


GEMMA = Family(read_gemma, LLAMA_NAMES)
