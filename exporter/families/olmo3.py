"""OLMo 3 (2025): OLMo 2 with windowed layers, which have rotary parameters of their own."""

from __future__ import annotations

from dataclasses import replace

from exporter.families.family import Family
from exporter.families.olmo import OLMO2_NAMES, normed_after, olmo_attention, olmo_shape
from exporter.families.reader import ConfigReader
from exporter.families.rope import nested_rotaries
from exporter.families.shape import Shape, read_windows
from exporter.spec import ModelSpec, RotarySpec


def read_olmo3(config: ConfigReader) -> ModelSpec:
    """Three of four layers are windowed, unless layer_types says otherwise."""
    shape = olmo_shape(config)
    window = config.nullable_integer("sliding_window", 4096)
    windows = read_windows(config, shape.layers, window, lambda layer: (layer + 1) % 4 != 0)
    local, overall = _rotaries(config, shape)
    attentions = [
        replace(olmo_attention(config, shape, overall if size is None else local), window=size)
        for size in windows
    ]
    return normed_after(config, "olmo3", shape, attentions)


def _rotaries(config: ConfigReader, shape: Shape, theta: float = 500_000.0) -> tuple[RotarySpec, RotarySpec]:
    """Of windowed layers and of the others, to which alone version 4's rope_scaling and rope_theta apply."""
    overall = config.number("rope_theta", theta, positive=True)
    return nested_rotaries(config, shape, local=theta, overall=overall)


OLMO3 = Family(read_olmo3, OLMO2_NAMES)
