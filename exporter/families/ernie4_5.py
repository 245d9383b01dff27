"""ERNIE 4.5, dense (Baidu 2025)."""

from __future__ import annotations

from dataclasses import replace

from exporter.families.family import Family
from exporter.families.llama import LLAMA_NAMES
from exporter.families.reader import ConfigReader
from exporter.families.rope import read_rotary
from exporter.families.shape import Shape, gated_mlp, read_shape, rms_norm, tied
from exporter.spec import AttentionSpec, HeadSpec, LayerSpec, ModelSpec, RopeLayout, RotaryRounding


def read(config: ConfigReader) -> ModelSpec:
    """Llama's plan but for its attention."""
    shape = read_shape(
        config,
        vocab=103424,
        hidden=1024,
        width=3072,
        layers=18,
        heads=16,
        kv_heads=2,
        head_dim=128,
        max_length=131072,
    )
    norm, bias = rms_norm(config, 1e-5), config.flag("use_bias", False)
    attention = ernie_attention(config, shape, bias)
    mlp = gated_mlp(config, shape.width, bias=bias)
    layer = LayerSpec(attention, mlp, attention_norm=norm, mlp_norm=norm)
    return shape.model("ernie4_5", [layer] * shape.layers, norm, HeadSpec(tied(config, True)))


def ernie_attention(config: ConfigReader, shape: Shape, bias: bool) -> AttentionSpec:
    """Neighbouring features turn together, in float32."""
    turning = read_rotary(
        config, shape.head_dim, shape.max_length, theta=500_000.0, layout=RopeLayout.INTERLEAVED
    )
    turning = replace(turning, rounding=RotaryRounding.SUM)
    return shape.attention(rotary=turning, qkv_bias=bias, out_bias=bias)


ERNIE4_5 = Family(read, LLAMA_NAMES)
