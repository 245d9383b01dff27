"""Qwen2 and Qwen3, dense (Qwen Team 2024, 2025)."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from exporter.families.family import Family
from exporter.families.llama import LLAMA_NAMES, NORMED_NAMES
from exporter.families.reader import ConfigReader
from exporter.families.rope import read_rotary
from exporter.families.shape import gated_mlp, read_shape, read_windows, rms_norm, tied
from exporter.spec import HeadSpec, LayerSpec, ModelSpec


def read(config: ConfigReader, model_type: str) -> ModelSpec:
    """Llama's plan with query, key and value biases (2), or query and key norms instead (3)."""
    third = model_type == "qwen3"
    shape = read_shape(
        config,
        vocab=151936,
        hidden=4096,
        width=22016,
        layers=32,
        heads=32,
        kv_heads=32,
        head_dim=128 if third else None,
        max_length=32768,
    )
    norm, rotary = rms_norm(config), read_rotary(config, shape.head_dim, shape.max_length)
    windows = last_windows(config, shape.layers, 28)
    if third:
        bias = config.flag("attention_bias", False)
        attention = shape.attention(rotary=rotary, qk_norm=norm, qkv_bias=bias, out_bias=bias)
    else:
        attention = shape.attention(rotary=rotary, qkv_bias=True)
    layer = LayerSpec(attention, gated_mlp(config, shape.width), attention_norm=norm, mlp_norm=norm)
    layers = [replace(layer, attention=replace(attention, window=size)) for size in windows]
    return shape.model(model_type, layers, norm, HeadSpec(tied(config)))


def last_windows(config: ConfigReader, layers: int, first: int) -> tuple[int | None, ...]:
    """Windows from layer ``max_window_layers`` (default ``first``) on, if ``use_sliding_window`` is true."""
    window = config.nullable_integer("sliding_window", 4096)
    window = window if config.flag("use_sliding_window", False) else None
    first = config.integer("max_window_layers", first, minimum=0)
    return read_windows(config, layers, window, lambda layer: window is not None and layer >= first)


QWEN2 = Family(partial(read, model_type="qwen2"), LLAMA_NAMES)
QWEN3 = Family(
    partial(read, model_type="qwen3"),
    NORMED_NAMES,
)
