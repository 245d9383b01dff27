"""Code World Model (Meta FAIR 2025)."""

from __future__ import annotations

from dataclasses import replace

from exporter.families.family import Family
from exporter.families.llama import LLAMA_NAMES
from exporter.families.reader import ConfigReader
from exporter.families.rope import flat_parameters, rotary
from exporter.families.shape import gated_mlp, read_shape, read_windows, rms_norm, tied
from exporter.spec import HeadSpec, LayerSpec, ModelSpec

DEFAULT_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 1_000_000.0,
    "factor": 16.0,
    "original_max_position_embeddings": 8192,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
}


def read(config: ConfigReader) -> ModelSpec:
    """Llama's plan; the first of four layers sees all, the others are windowed."""
    shape = read_shape(
        config,
        vocab=128256,
        hidden=6144,
        width=21504,
        layers=64,
        heads=48,
        kv_heads=8,
        head_dim=128,
        max_length=131072,
    )
    norm = rms_norm(config, 1e-5)
    window = config.nullable_integer("sliding_window", 8192)
    windows = read_windows(config, shape.layers, window, lambda layer: layer % 4 != 0)
    theta, parameters = (
        config.number("rope_theta", 1_000_000.0, positive=True),
        flat_parameters(config, DEFAULT_ROPE),
    )
    attention = shape.attention(
        rotary=rotary(config, parameters, shape.head_dim, shape.max_length, theta=theta)
    )
    mlp = gated_mlp(config, shape.width, bias=config.flag("mlp_bias", False))
    layer = LayerSpec(attention, mlp, attention_norm=norm, mlp_norm=norm)
    layers = [replace(layer, attention=replace(attention, window=size)) for size in windows]
    return shape.model("cwm", layers, norm, HeadSpec(tied(config)))


CWM = Family(read, LLAMA_NAMES)
