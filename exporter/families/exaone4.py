"""EXAONE 4 (LG AI Research 2025)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from exporter.families.family import Family
from exporter.families.olmo import OLMO2_NAMES
from exporter.families.reader import ConfigReader
from exporter.families.rope import read_rotary
from exporter.families.shape import Shape, gated_mlp, read_shape, read_windows, rms_norm, tied
from exporter.spec import AttentionSpec, HeadSpec, LayerSpec, ModelSpec


def read(config: ConfigReader) -> ModelSpec:
    """Norms behind the branches and in every head; where some layers are windowed, the others do not turn."""
    shape = read_shape(
        config, vocab=102400, hidden=4096, width=16384, layers=32, heads=32, kv_heads=32, max_length=2048
    )
    norm, mlp = rms_norm(config, 1e-5), gated_mlp(config, shape.width)
    layers = [
        LayerSpec(attention, mlp, attention_out_norm=norm, mlp_out_norm=norm)
        for attention in read_exaone_attentions(config, shape)
    ]
    return shape.model("exaone4", layers, norm, HeadSpec(tied(config)))


def read_exaone_attentions(config: ConfigReader, shape: Shape) -> list[AttentionSpec]:
    """Each layer's; where some are windowed, the others do not turn."""
    window = config.nullable_integer("sliding_window", 4096)
    windows = read_windows(config, shape.layers, window, _windowed(config, window))
    rotary = read_rotary(config, shape.head_dim, shape.max_length)
    attention = shape.attention(qk_norm=rms_norm(config, 1e-5))
    return [
        replace(attention, window=size, rotary=rotary if window is None or size is not None else None)
        for size in windows
    ]


def _windowed(config: ConfigReader, window: int | None) -> Callable[[int], bool]:
    """Which layers are windowed in a config without layer_types: all but every fourth, or as it says."""
    if config.has("layer_types"):
        config.harmless("sliding_window_pattern")  # perhaps "LLLG": only read where there are none
        return lambda layer: False
    if window is None:
        config.problem("sliding_window=None needs layer_types: the reference divides by its pattern, 0")
    pattern = config.integer("sliding_window_pattern", 4)
    return lambda layer: window is not None and (layer + 1) % pattern != 0


EXAONE4 = Family(read, OLMO2_NAMES)
