"""Ministral 8B (Mistral AI 2024)."""

from __future__ import annotations

from dataclasses import replace

from exporter.families.family import Family
from exporter.families.llama import LLAMA_NAMES
from exporter.families.reader import ConfigReader
from exporter.families.rope import read_rotary
from exporter.families.shape import gated_mlp, read_shape, read_windows, rms_norm, tied
from exporter.spec import HeadSpec, LayerSpec, ModelSpec


def read(config: ConfigReader) -> ModelSpec:
    """Mistral with layer_types that say which layers are windowed."""
    shape = read_shape(
        config, vocab=32000, hidden=4096, width=14336, layers=32, heads=32, kv_heads=8, max_length=131072
    )
    norm, rotary = rms_norm(config), read_rotary(config, shape.head_dim, shape.max_length)
    window = config.nullable_integer("sliding_window", 4096)
    windows = read_windows(config, shape.layers, window, lambda layer: window is not None)
    attention = shape.attention(rotary=rotary)
    layer = LayerSpec(attention, gated_mlp(config, shape.width), attention_norm=norm, mlp_norm=norm)
    layers = [replace(layer, attention=replace(attention, window=size)) for size in windows]
    return shape.model("ministral", layers, norm, HeadSpec(tied(config)))


MINISTRAL = Family(read, LLAMA_NAMES)
