"""Jais 2 (Inception 2025)."""

from __future__ import annotations

from exporter.families.family import Family
from exporter.families.nemotron import PLAIN_NAMES
from exporter.families.reader import ConfigReader
from exporter.families.rope import read_rotary
from exporter.families.shape import layer_norm, plain_mlp, read_shape, tied
from exporter.spec import HeadSpec, LayerSpec, ModelSpec


def read(config: ConfigReader) -> ModelSpec:
    """LayerNorm, rotary positions, plain feed-forward blocks of squared relu, biases."""
    shape = read_shape(config, vocab=150272, hidden=3328, width=26624, layers=32, heads=26, max_length=8192)
    norm, bias = layer_norm(config), config.flag("attention_bias", True)
    rotary = read_rotary(config, shape.head_dim, shape.max_length)
    attention = shape.attention(rotary=rotary, qkv_bias=bias, out_bias=bias)
    mlp = plain_mlp(config, shape.width, "relu2", "hidden_act", bias=config.flag("mlp_bias", True))
    layer = LayerSpec(attention, mlp, attention_norm=norm, mlp_norm=norm)
    return shape.model("jais2", [layer] * shape.layers, norm, HeadSpec(tied(config)))


JAIS2 = Family(read, PLAIN_NAMES)
