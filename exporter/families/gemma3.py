"""Gemma 3: the text model (Gemma Team 2025), alone or inside a checkpoint that reads images too."""

from __future__ import annotations

from dataclasses import replace

from exporter.families.family import Family
from exporter.families.gemma import gemma_attention, gemma_model, gemma_norm
from exporter.families.gemma2 import GEMMA2_NAMES, gemma_layer, gemma_windows, query_scale
from exporter.families.reader import ConfigReader
from exporter.families.rope import nested_rotaries
from exporter.families.shape import Shape, read_shape
from exporter.families.wrapped import Ties, Wrapped
from exporter.spec import ModelSpec, RotarySpec


def read(config: ConfigReader) -> ModelSpec:
    """Query and key norms, a local and a global rotary base."""
    shape = read_shape(
        config,
        vocab=262208,
        hidden=2304,
        width=9216,
        layers=26,
        heads=8,
        kv_heads=4,
        head_dim=256,
        max_length=131072,
    )
    windows = gemma_windows(config, shape, config.optional_integer("sliding_window_pattern", 6) or 6)
    local, overall = _rotaries(config, shape)
    attention = gemma_attention(
        config,
        shape,
        overall,
        qk_norm=gemma_norm(config),
        scale=query_scale(config),
    )
    layers = [
        gemma_layer(
            config, shape, replace(attention, window=window, rotary=overall if window is None else local)
        )
        for window in windows
    ]
    final = config.optional_number("final_logit_softcapping")
    return gemma_model(config, "gemma3_text", shape, layers, gemma_norm(config), final)


def _rotaries(config: ConfigReader, shape: Shape) -> tuple[RotarySpec, RotarySpec]:
    """Of windowed layers and of the others, to which alone version 4's rope_scaling and rope_theta apply."""
    return nested_rotaries(
        config,
        shape,
        local=config.number("rope_local_base_freq", 10_000.0, positive=True),
        overall=config.number("rope_theta", 1_000_000.0, positive=True),
    )


# The reference's Gemma 3 attention keeps attn_logit_softcapping and does not apply it; it works
# _sliding_window_pattern out anew.
HARMLESS = ("_sliding_window_pattern", "attn_logit_softcapping")
# What only the class that reads images looks at.
IMAGES = ("image_token_id", "mm_tokens_per_image", "vision_config")
NAMES = replace(GEMMA2_NAMES, q_norm="self_attn.q_norm", k_norm="self_attn.k_norm")

GEMMA3_TEXT = Family(read, NAMES, harmless=(*HARMLESS, *IMAGES))
GEMMA3 = Wrapped(
    "gemma3",
    {"gemma3_text": Family(read, NAMES, harmless=HARMLESS)},
    own=True,
    keys=IMAGES,
    ties=Ties.SAME,
    null=("final_logit_softcapping",),
).family()
