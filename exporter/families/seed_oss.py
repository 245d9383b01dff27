"""Seed-OSS (ByteDance 2025)."""

from __future__ import annotations

from exporter.families.family import Family
from exporter.families.llama import LLAMA_NAMES
from exporter.families.reader import ConfigReader
from exporter.families.rope import read_rotary
from exporter.families.shape import gated_mlp, read_shape, rms_norm, tied
from exporter.spec import HeadSpec, LayerSpec, ModelSpec


def read(config: ConfigReader) -> ModelSpec:
    """Llama with switches of their own for the biases of query, key and value, and of the output."""
    shape = read_shape(
        config,
        vocab=155136,
        hidden=4096,
        width=27648,
        layers=64,
        heads=80,
        kv_heads=8,
        head_dim=128,
        max_length=524288,
    )
    norm = rms_norm(config, 1e-06)
    attention = shape.attention(
        rotary=read_rotary(config, shape.head_dim, shape.max_length),
        qkv_bias=config.flag("attention_bias", True),
        out_bias=config.flag("attention_out_bias", False),
    )
    layer = LayerSpec(
        attention,
        gated_mlp(config, shape.width, bias=config.flag("mlp_bias", False)),
        attention_norm=norm,
        mlp_norm=norm,
    )
    return shape.model("seed_oss", [layer] * shape.layers, norm, HeadSpec(tied(config)))


SEED_OSS = Family(read, LLAMA_NAMES, harmless=("residual_dropout",))
