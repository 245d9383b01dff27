"""Mistral 7B and kin (Jiang et al. 2023)."""

from __future__ import annotations

from exporter.families.family import Family
from exporter.families.llama import LLAMA_NAMES
from exporter.families.reader import ConfigReader
from exporter.families.rope import read_rotary
from exporter.families.shape import gated_mlp, read_shape, rms_norm, tied
from exporter.spec import HeadSpec, LayerSpec, ModelSpec


def read(config: ConfigReader) -> ModelSpec:
    """Llama's plan; every layer sees ``sliding_window`` positions."""
    shape = read_shape(
        config, vocab=32000, hidden=4096, width=14336, layers=32, heads=32, kv_heads=8, max_length=131072
    )
    norm, rotary = rms_norm(config), read_rotary(config, shape.head_dim, shape.max_length)
    window = config.nullable_integer("sliding_window", 4096)
    attention = shape.attention(rotary=rotary, window=window)
    layer = LayerSpec(attention, gated_mlp(config, shape.width), attention_norm=norm, mlp_norm=norm)
    return shape.model("mistral", [layer] * shape.layers, norm, HeadSpec(tied(config)))


MISTRAL = Family(read, LLAMA_NAMES)
