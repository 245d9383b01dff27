"""SmolLM3 (Hugging Face 2025)."""

from __future__ import annotations

from dataclasses import replace

from exporter.families.family import Family
from exporter.families.llama import LLAMA_NAMES
from exporter.families.reader import ConfigReader
from exporter.families.rope import read_rotary
from exporter.families.shape import gated_mlp, read_shape, read_windows, rms_norm, tied
from exporter.spec import HeadSpec, LayerSpec, ModelSpec


def read(config: ConfigReader) -> ModelSpec:
    """Llama with some layers that know no positions (Yang et al. 2025)."""
    shape = read_shape(
        config, vocab=128256, hidden=2048, width=11008, layers=36, heads=16, kv_heads=4, max_length=32768
    )
    norm, bias = rms_norm(config), config.flag("attention_bias", False)
    turns = _turning_layers(config, shape.layers)
    window, wanted = config.optional_integer("sliding_window"), config.flag("use_sliding_window", False)
    windows = read_windows(
        config, shape.layers, window, lambda layer: wanted and window is not None and not turns[layer]
    )
    rotary = read_rotary(config, shape.head_dim, shape.max_length, theta=2_000_000.0)
    attention = shape.attention(qkv_bias=bias, out_bias=bias)
    mlp = gated_mlp(config, shape.width, bias=config.flag("mlp_bias", False))
    layer = LayerSpec(attention, mlp, attention_norm=norm, mlp_norm=norm)
    layers = [
        replace(layer, attention=replace(attention, window=size, rotary=rotary if turn else None))
        for size, turn in zip(windows, turns, strict=True)
    ]
    return shape.model("smollm3", layers, norm, HeadSpec(tied(config, True)))


def _turning_layers(config: ConfigReader, layers: int) -> list[bool]:
    """Which layers have rotary positions: despite its name, ``no_rope_layers`` holds a 1 for these."""
    interval = config.integer("no_rope_layer_interval", 4)
    flags = config.choices("no_rope_layers", (0, 1), layers, more=True)
    if flags is None:
        return [(layer + 1) % interval != 0 for layer in range(layers)]
    return [flag == 1 for flag in flags[:layers]]


SMOLLM3 = Family(read, LLAMA_NAMES)
