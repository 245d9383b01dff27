"""Helium 1 (Kyutai 2025)."""

from __future__ import annotations

from dataclasses import replace

from exporter.families.family import Family
from exporter.families.llama import LLAMA_NAMES
from exporter.families.reader import ConfigReader
from exporter.families.rope import read_rotary
from exporter.families.shape import gated_mlp, read_shape, rms_norm, tied
from exporter.spec import HeadSpec, LayerSpec, ModelSpec, RopeLayout


def read(config: ConfigReader) -> ModelSpec:
    """Llama's plan; neighbouring features turn together, norms are scaled in float32."""
    shape = read_shape(
        config,
        vocab=48000,
        hidden=2560,
        width=7040,
        layers=24,
        heads=20,
        kv_heads=20,
        head_dim=128,
        max_length=4096,
    )
    if shape.heads * shape.head_dim != shape.hidden:
        config.problem(
            f"num_attention_heads={shape.heads} times head_dim={shape.head_dim} must be "
            f"hidden_size={shape.hidden}: the reference's output projection is square"
        )
    norm = replace(rms_norm(config, 1e-8), round_first=False)
    turning = read_rotary(
        config, shape.head_dim, shape.max_length, theta=100_000.0, layout=RopeLayout.INTERLEAVED
    )
    attention = shape.attention(rotary=turning, qkv_bias=config.flag("attention_bias", False))
    mlp = gated_mlp(config, shape.width, bias=config.flag("mlp_bias", False))
    layer = LayerSpec(attention, mlp, attention_norm=norm, mlp_norm=norm)
    return shape.model("helium", [layer] * shape.layers, norm, HeadSpec(tied(config)))


HELIUM = Family(read, LLAMA_NAMES)
