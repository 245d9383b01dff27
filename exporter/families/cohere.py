"""Command R (Cohere 2024) and Command R7B (Cohere 2025)."""

from __future__ import annotations

from dataclasses import replace

from exporter.families.family import Family
from exporter.families.llama import LLAMA_NAMES, NORMED_NAMES
from exporter.families.reader import ConfigReader
from exporter.families.rope import read_rotary
from exporter.families.shape import Shape, gated_mlp, layer_norm, read_shape, read_windows, tied
from exporter.spec import (
    AttentionSpec,
    Block,
    HeadSpec,
    LayerSpec,
    ModelSpec,
    QkNormScope,
    RopeLayout,
    RotaryRounding,
)


def read_cohere(config: ConfigReader) -> ModelSpec:
    """Attention and MLP side by side behind one norm, neighbouring features turn together."""
    shape, norm = _shape(config), replace(layer_norm(config), bias=False)
    attention = _attention(config, shape, 500_000.0)
    if config.flag("use_qk_norm", False):
        attention = replace(attention, qk_norm=norm, qk_norm_scope=QkNormScope.PER_HEAD)
    return _model(config, "cohere", shape, [attention] * shape.layers)


def read_cohere2(config: ConfigReader) -> ModelSpec:
    """As Command R, but three of four layers are windowed, and the others know no positions."""
    shape = _shape(config)
    pattern = config.integer("sliding_window_pattern", 4)
    window = config.nullable_integer("sliding_window", 4096)
    windows = read_windows(config, shape.layers, window, lambda layer: (layer + 1) % pattern != 0)
    attention = _attention(config, shape, 10_000.0)
    attentions = [
        replace(attention, window=size, rotary=None if size is None else attention.rotary) for size in windows
    ]
    return _model(config, "cohere2", shape, attentions)


def _shape(config: ConfigReader) -> Shape:
    return read_shape(config, vocab=256000, hidden=8192, width=22528, layers=40, heads=64, max_length=8192)


def _attention(config: ConfigReader, shape: Shape, theta: float) -> AttentionSpec:
    turning = read_rotary(
        config, shape.head_dim, shape.max_length, theta=theta, layout=RopeLayout.INTERLEAVED
    )
    turning = replace(turning, rounding=RotaryRounding.ANGLES)
    bias = config.flag("attention_bias", False)
    return shape.attention(rotary=turning, qkv_bias=bias, out_bias=bias)


def _model(config: ConfigReader, model_type: str, shape: Shape, attentions: list[AttentionSpec]) -> ModelSpec:
    norm, mlp = replace(layer_norm(config), bias=False), gated_mlp(config, shape.width)
    layers = [
        LayerSpec(attention, mlp, block=Block.PARALLEL, attention_norm=norm) for attention in attentions
    ]
    head = HeadSpec(tied(config, True), scale=config.number("logit_scale", 0.0625))
    return shape.model(model_type, layers, norm, head)


COHERE = Family(read_cohere, NORMED_NAMES)
COHERE2 = Family(read_cohere2, LLAMA_NAMES)
