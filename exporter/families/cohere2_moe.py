"""Command A mixtures (Cohere 2026)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from exporter.families.experts import ROUTER_OUTPUT, gated_experts, read_layer_types, read_mixture
from exporter.families.family import Family
from exporter.families.llama import LLAMA_NAMES
from exporter.families.reader import ConfigReader
from exporter.families.rope import read_rotary
from exporter.families.shape import (
    Shape,
    gated_mlp,
    layer_norm,
    read_shape,
    read_windows,
    rms_norm,
    tied,
)
from exporter.spec import (
    AttentionSpec,
    Block,
    HeadSpec,
    LayerSpec,
    ModelSpec,
    MoeSpec,
    NormSpec,
    RopeLayout,
    RotaryRounding,
    RouterSpec,
    Score,
)


def read(config: ConfigReader) -> ModelSpec:
    """Command R7B with mixtures behind some dense layers, which have a width and windows of their own."""
    shape = read_shape(
        config, vocab=256000, hidden=8192, width=22528, layers=40, heads=64, head_dim=128, max_length=8192
    )
    dense = config.integer("first_k_dense_replace", 0, 0)
    mixed = read_layer_types(config, [layer >= dense for layer in range(shape.layers)])
    norm, mixture = _norm(config), _mixture(config, shape)
    plain = gated_mlp(config, config.optional_integer("prefix_dense_intermediate_size") or shape.width)
    layers = [
        LayerSpec(attention, mixture if mixes else plain, block=Block.PARALLEL, attention_norm=norm)
        for attention, mixes in zip(_attentions(config, shape, mixed, dense), mixed, strict=True)
    ]
    head = HeadSpec(tied(config, True), scale=config.number("logit_scale", 0.0625))
    return shape.model("cohere2_moe", layers, norm, head)


def _norm(config: ConfigReader) -> NormSpec:
    plain = replace(layer_norm(config), bias=False)
    return rms_norm(config) if config.has("rms_norm_eps") else plain


def _attentions(config: ConfigReader, shape: Shape, mixed: Sequence[bool], dense: int) -> list[AttentionSpec]:
    """Windowed layers turn; so do dense ones, where none of them is windowed by the config's pattern."""
    first, rest = (
        config.integer(key, default)
        for key, default in (("prefix_dense_sliding_window_pattern", 1), ("sliding_window_pattern", 4))
    )
    window = config.nullable_integer("sliding_window", 4096)
    windows = read_windows(
        config,
        shape.layers,
        window,
        lambda layer: (layer + 1) % first != 0 if layer < dense else (layer - dense + 1) % rest != 0,
    )
    turning = read_rotary(config, shape.head_dim, shape.max_length, layout=RopeLayout.INTERLEAVED)
    turning = replace(turning, rounding=RotaryRounding.ANGLES)
    bias = config.flag("attention_bias", False)
    attention = shape.attention(qkv_bias=bias, out_bias=bias)
    return [
        replace(attention, window=size, rotary=turning if size or (first == 1 and not mixes) else None)
        for size, mixes in zip(windows, mixed, strict=True)
    ]


def _mixture(config: ConfigReader, shape: Shape) -> MoeSpec:
    normalise = config.flag("norm_topk_prob", True)
    routers = {
        "softmax": RouterSpec(normalise=True),
        "sigmoid": RouterSpec(Score.SIGMOID, normalise=normalise),
    }
    router, expert = config.choice("expert_selection_fn", routers, "softmax"), gated_mlp(config, shape.width)
    scale = config.choice("shared_expert_combination_strategy", {"average": 0.5, "sum": 1.0}, "average")
    experts, blocks = config.integer("num_experts", 8), config.integer("num_shared_experts", 0, 0)
    mixture = read_mixture(config, expert, experts=experts, top_k=2, router=router)
    if not blocks:
        return mixture
    return replace(mixture, shared=replace(expert, width=shape.width * blocks), scale=scale)


SHARED = "mlp.shared_experts."
COHERE2_MOE = Family(
    read,
    gated_experts(LLAMA_NAMES, shared=(f"{SHARED}gate_proj", f"{SHARED}up_proj", f"{SHARED}down_proj")),
    harmless=ROUTER_OUTPUT,
)
