"""dots.llm1 (rednote 2025)."""

from __future__ import annotations

from dataclasses import replace

from exporter.families.deepseek_router import read_deepseek_mixture
from exporter.families.experts import ROUTER_OUTPUT, some_mixed
from exporter.families.family import Family
from exporter.families.glm4_moe import ALIASES, NAMES
from exporter.families.reader import ConfigReader
from exporter.families.rope import read_rotary
from exporter.families.shape import gated_mlp, read_shape, read_windows, rms_norm, tied
from exporter.spec import HeadSpec, ModelSpec


def read(config: ConfigReader) -> ModelSpec:
    """Qwen3's attention, with windows in the last layers; its mixtures have no sizes by default."""
    shape = read_shape(
        config, vocab=152064, hidden=4608, width=10944, layers=62, heads=32, kv_heads=32, max_length=2048
    )
    norm, bias = rms_norm(config), config.flag("attention_bias", False)
    window = config.nullable_integer("sliding_window", 4096)
    first = config.integer("max_window_layers", 62, 0)
    windows = read_windows(config, shape.layers, window, lambda layer: window is not None and layer >= first)
    attention = shape.attention(
        rotary=read_rotary(config, shape.head_dim, shape.max_length),
        qk_norm=norm,
        qkv_bias=bias,
        out_bias=bias,
    )
    attentions = [replace(attention, window=size) for size in windows]
    mixture = read_deepseek_mixture(
        config, width=1408, experts=None, top_k=None, shared=None, normalise=False
    )
    dense = config.integer("first_k_dense_replace", 0, 0)
    mixed = [layer >= dense for layer in range(shape.layers)]
    layers = some_mixed(attentions, mixed, mixture, gated_mlp(config, shape.width), norm)
    return shape.model("dots1", layers, norm, HeadSpec(tied(config)))


DOTS1 = Family(read, NAMES, harmless=ROUTER_OUTPUT, aliases=ALIASES)
