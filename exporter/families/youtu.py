"""Youtu-LLM (Tencent 2025): DeepSeek-V3's attention in a dense model."""

from __future__ import annotations

from exporter.families.family import Family
from exporter.families.latents import (
    COMPUTED,
    LATENT_NAMES,
    read_latent_attention,
    read_latent_sizes,
    read_layout,
)
from exporter.families.reader import ConfigReader
from exporter.families.shape import gated_mlp, rms_norm, tied
from exporter.spec import HeadSpec, LayerSpec, ModelSpec


def read(config: ConfigReader) -> ModelSpec:
    """Llama with latent attention."""
    shape, latent = read_latent_sizes(
        config,
        rank=512,
        query_rank=1536,
        plain=128,
        rotated=64,
        value=128,
        vocab=128256,
        hidden=2048,
        width=6144,
        layers=32,
        heads=16,
        max_length=131072,
    )
    attention = read_latent_attention(config, shape, latent, read_layout(config))
    norm = rms_norm(config)
    layer = LayerSpec(attention, gated_mlp(config, shape.width), attention_norm=norm, mlp_norm=norm)
    return shape.model("youtu", [layer] * shape.layers, norm, HeadSpec(tied(config, True)))


YOUTU = Family(read, LATENT_NAMES, harmless=(*COMPUTED, "embedding_initializer_range"))
