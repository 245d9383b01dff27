"""Mellum 2 (JetBrains 2026)."""

from __future__ import annotations

from dataclasses import replace

from exporter.families.experts import (
    ROUTER_TRAINING,
    gated_experts,
    read_layer_types,
    read_mixture,
    softmax_router,
    some_mixed,
)
from exporter.families.family import Family
from exporter.families.llama import NORMED_NAMES
from exporter.families.reader import ConfigReader
from exporter.families.rope import nested_rotaries
from exporter.families.shape import Shape, gated_mlp, read_shape, read_windows, rms_norm, tied
from exporter.spec import AttentionSpec, HeadSpec, ModelSpec, MoeSpec


def read(config: ConfigReader) -> ModelSpec:
    """Qwen3-MoE with windows, and rotary parameters of windowed layers and of the others."""
    shape = read_shape(
        config,
        vocab=98304,
        hidden=2304,
        width=7168,
        layers=28,
        heads=32,
        kv_heads=4,
        head_dim=128,
        max_length=131072,
    )
    norm = rms_norm(config)
    mixed = read_layer_types(config, [True] * shape.layers)
    plain = gated_mlp(config, shape.width)
    layers = some_mixed(_attentions(config, shape), mixed, _mixture(config), plain, norm)
    return shape.model("mellum", layers, norm, HeadSpec(tied(config)))


def _attentions(config: ConfigReader, shape: Shape) -> list[AttentionSpec]:
    bias = config.flag("attention_bias", False)
    window = config.nullable_integer("sliding_window", 1024)
    windows = read_windows(config, shape.layers, window, lambda layer: False)
    base = 10_000.0 if config.mapping("rope_parameters") else 500_000.0
    local, overall = nested_rotaries(config, shape, local=10_000.0, overall=base, old=False)
    attention = shape.attention(qkv_bias=bias, out_bias=bias, qk_norm=rms_norm(config))
    return [replace(attention, window=size, rotary=overall if size is None else local) for size in windows]


def _mixture(config: ConfigReader) -> MoeSpec:
    expert = gated_mlp(config, config.integer("moe_intermediate_size", 896))
    experts, router = config.integer("num_local_experts", 64), softmax_router(config, normalise=True)
    return read_mixture(config, expert, experts=experts, top_k=8, router=router)


MELLUM = Family(
    read,
    gated_experts(NORMED_NAMES),
    harmless=(*ROUTER_TRAINING, "num_mtp_layers", "mtp_layer_types", "mtp_mlp_layer_types"),
    aliases={"num_experts": "num_local_experts", "num_mtp_layers": "num_nextn_predict_layers"},
)
