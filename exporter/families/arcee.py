"""AFM (Arcee AI 2025)."""

from __future__ import annotations

from exporter.families.family import Family
from exporter.families.nemotron import PLAIN_NAMES
from exporter.families.reader import ConfigReader
from exporter.families.rope import read_rotary
from exporter.families.shape import plain_mlp, read_shape, rms_norm, tied
from exporter.spec import HeadSpec, LayerSpec, ModelSpec


def read(config: ConfigReader) -> ModelSpec:
    """Llama's plan with plain feed-forward blocks of squared relu."""
    shape = read_shape(config, vocab=32000, hidden=2560, width=18432, layers=32, heads=32, max_length=4096)
    norm, bias = rms_norm(config, 1e-5), config.flag("attention_bias", False)
    rotary = read_rotary(config, shape.head_dim, shape.max_length)
    attention = shape.attention(rotary=rotary, qkv_bias=bias, out_bias=bias)
    mlp = plain_mlp(config, shape.width, "relu2", "hidden_act", bias=config.flag("mlp_bias", False))
    layer = LayerSpec(attention, mlp, attention_norm=norm, mlp_norm=norm)
    return shape.model("arcee", [layer] * shape.layers, norm, HeadSpec(tied(config)))


ARCEE = Family(read, PLAIN_NAMES)
