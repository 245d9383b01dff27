"""Cohere Compass (Cohere 2026): the text model, alone or inside a checkpoint that reads images too.

Positions of text are the same on all three axes, so that they turn as plain rotary positions do.
"""

from __future__ import annotations

from dataclasses import replace

from exporter.families.family import Family
from exporter.families.llama import LLAMA_NAMES
from exporter.families.reader import ConfigReader
from exporter.families.rope import rotary
from exporter.families.shape import (
    FULL,
    SLIDING,
    Keys,
    Shape,
    gated_mlp,
    layer_norm,
    read_shape,
    read_windows,
    tied,
)
from exporter.families.wrapped import Wrapped
from exporter.spec import AttentionSpec, Block, HeadSpec, LayerSpec, ModelSpec, RotarySpec


def read(config: ConfigReader) -> ModelSpec:
    """Attention and MLP side by side behind one norm; each kind of layer turns in its own way."""
    shape = read_shape(
        config,
        Keys(kv_heads="num_key_value_heads"),
        vocab=256000,
        hidden=8192,
        width=22528,
        layers=40,
        heads=64,
        max_length=8192,
    )
    norm, mlp = replace(layer_norm(config), bias=False), gated_mlp(config, shape.width)
    layers = [
        LayerSpec(attention, mlp, block=Block.PARALLEL, attention_norm=norm)
        for attention in _attentions(config, shape)
    ]
    scale = config.optional_number("logit_scale")
    head = HeadSpec(tied(config, True), scale=1.0 if scale is None else scale)
    return shape.model("cohere_compass_text", layers, norm, head)


def _attentions(config: ConfigReader, shape: Shape) -> list[AttentionSpec]:
    bias = config.flag("attention_bias", False)
    window = config.nullable_integer("sliding_window", 4096)
    windows = read_windows(config, shape.layers, window, lambda layer: False)
    attention = shape.attention(qkv_bias=bias, out_bias=bias)
    nested = config.section("rope_parameters")
    nested.harmless("rope_theta", "rope_type")
    turning = {kind: _rotary(config, nested, shape, kind) for kind in {_kind(size) for size in windows}}
    return [replace(attention, window=size, rotary=turning[_kind(size)]) for size in windows]


def _kind(window: int | None) -> str:
    return FULL if window is None else SLIDING


def _rotary(config: ConfigReader, nested: ConfigReader, shape: Shape, kind: str) -> RotarySpec | None:
    """That of layers of a kind, which must be told; where it is null, they know no positions."""
    if kind not in nested:
        config.wrong(
            "rope_parameters", config.raw("rope_parameters"), f"must hold an object or null for {kind!r}"
        )
    if not nested.has(kind):
        return None
    section = config.rope(f"rope_parameters.{kind}", nested.mapping(kind))
    theta = section.number("rope_theta", positive=True)
    return rotary(config, section, shape.head_dim, shape.max_length, theta=theta)


# Heads fill the hidden size, whatever head_dim says.
TEXT = Family(read, LLAMA_NAMES, harmless=("head_dim",))
COHERE_COMPASS = Wrapped(
    "cohere_compass",
    {"cohere_compass_text": TEXT},
    own=True,
    keys=(
        "image_token_id",
        "video_token_id",
        "vision_config",
    ),
    tied=False,
    head=True,
    renames=(),
).family()
