"""OLMo (Groeneveld et al. 2024), OLMo 2 (2025) and OLMo 3 (2025)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from exporter.families.family import Family
from exporter.families.llama import LLAMA_NAMES
from exporter.families.reader import ConfigReader
from exporter.families.rope import read_rotary, rotary
from exporter.families.shape import FULL, SLIDING, Shape, gated_mlp, read_shape, read_windows, rms_norm, tied
from exporter.spec import (
    AttentionSpec,
    HeadSpec,
    LayerSpec,
    ModelSpec,
    NormKind,
    NormSpec,
    QkNormScope,
    RotarySpec,
)


def read_olmo(config: ConfigReader) -> ModelSpec:
    """Llama with norms that have no weights."""
    shape, norm = _shape(config), NormSpec(NormKind.LAYER, 1e-5, scale=False)
    turning = read_rotary(config, shape.head_dim, shape.max_length)
    attention = replace(_attention(config, shape, turning), clip=config.optional_number("clip_qkv"))
    layer = LayerSpec(attention, gated_mlp(config, shape.width), attention_norm=norm, mlp_norm=norm)
    return shape.model("olmo", [layer] * shape.layers, norm, HeadSpec(tied(config)))


def read_olmo2(config: ConfigReader) -> ModelSpec:
    """Norms after the branches instead of before them, and over all of query and key."""
    shape = _shape(config)
    attention = _attention(config, shape, read_rotary(config, shape.head_dim, shape.max_length))
    return _normed_after(config, "olmo2", shape, [attention] * shape.layers)


def read_olmo3(config: ConfigReader) -> ModelSpec:
    """OLMo 2 with windowed layers, which have rotary parameters of their own."""
    shape = _shape(config)
    window = config.optional_integer("sliding_window", None if "sliding_window" in config else 4096)
    windows = read_windows(config, shape.layers, window, lambda layer: (layer + 1) % 4 != 0)
    local, overall = _rotaries(config, shape)
    attentions = [
        replace(_attention(config, shape, overall if size is None else local), window=size)
        for size in windows
    ]
    return _normed_after(config, "olmo3", shape, attentions)


def _rotaries(config: ConfigReader, shape: Shape, theta: float = 500_000.0) -> tuple[RotarySpec, RotarySpec]:
    """Of windowed layers and of the others, to which alone version 4's rope_scaling and rope_theta apply."""
    nested: dict[str, Any] = config.raw("rope_parameters") or {}
    if set(nested) - {FULL, SLIDING}:
        config.problem(f"rope_parameters must be given for {FULL!r} and {SLIDING!r}; got {sorted(nested)}")
    sliding = {"rope_theta": theta, **(nested.get(SLIDING) or {})}
    full = {
        "rope_theta": config.number("rope_theta", theta),
        **(nested.get(FULL) or {}),
        **(config.raw("rope_scaling") or {}),
    }
    local, overall = (rotary(config, part, shape.head_dim, shape.max_length) for part in (sliding, full))
    return local, overall


def _shape(config: ConfigReader) -> Shape:
    return read_shape(config, vocab=50304, hidden=4096, width=11008, layers=32, heads=32, max_length=2048)


def _attention(config: ConfigReader, shape: Shape, turning: RotarySpec) -> AttentionSpec:
    bias = config.flag("attention_bias", False)
    return shape.attention(rotary=turning, qkv_bias=bias, out_bias=bias)


def _normed_after(
    config: ConfigReader, model_type: str, shape: Shape, attentions: list[AttentionSpec]
) -> ModelSpec:
    norm, mlp = rms_norm(config, 1e-5), gated_mlp(config, shape.width)
    layers = [
        LayerSpec(
            replace(attention, qk_norm=norm, qk_norm_scope=QkNormScope.ALL),
            mlp,
            attention_out_norm=norm,
            mlp_out_norm=norm,
        )
        for attention in attentions
    ]
    return shape.model(model_type, layers, norm, HeadSpec(tied(config)))


NAMES = replace(
    LLAMA_NAMES,
    attention_out_norm="post_attention_layernorm",
    mlp_out_norm="post_feedforward_layernorm",
    q_norm="self_attn.q_norm",
    k_norm="self_attn.k_norm",
)

OLMO = Family(read_olmo, LLAMA_NAMES, harmless=("pretraining_tp",))
OLMO2 = Family(read_olmo2, NAMES)
OLMO3 = Family(read_olmo3, NAMES)
