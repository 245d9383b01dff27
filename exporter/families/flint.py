"""Flint (Recursive 2026)."""

from __future__ import annotations

from dataclasses import replace

from exporter.families.experts import ROUTER_TRAINING, gated_experts, read_mixture, some_mixed
from exporter.families.family import Family
from exporter.families.llama import NORMED_NAMES
from exporter.families.qwen_moe import sparse_places
from exporter.families.reader import ConfigReader
from exporter.families.rope import read_rotary
from exporter.families.shape import Shape, gated_mlp, read_shape, read_windows, rms_norm, tied
from exporter.spec import AttentionSpec, HeadSpec, ModelSpec, MoeSpec, NormSpec, RouterSpec, Score


def read(config: ConfigReader) -> ModelSpec:
    """Sinks in every head; windowed layers turn, the others know no positions."""
    shape = read_shape(
        config,
        vocab=150144,
        hidden=2048,
        width=6144,
        layers=49,
        heads=32,
        kv_heads=4,
        head_dim=128,
        max_length=262144,
    )
    norm = replace(rms_norm(config), round_first=False)
    mixed = sparse_places(config, shape.layers, dense=(0, 1))
    attentions, plain = _attentions(config, shape, norm), gated_mlp(config, shape.width)
    layers = some_mixed(attentions, mixed, _mixture(config), plain, norm)
    return shape.model("flint", layers, norm, HeadSpec(tied(config)))


def _attentions(config: ConfigReader, shape: Shape, norm: NormSpec) -> list[AttentionSpec]:
    """The first two layers, every fourth and the last see everything, unless layer_types says otherwise."""
    bias, last = config.flag("attention_bias", False), shape.layers - 1
    window = config.integer("sliding_window", 513)
    windows = read_windows(
        config, shape.layers, window, lambda layer: layer >= 2 and layer % 4 != 1 and layer != last
    )
    turning = read_rotary(config, shape.head_dim, shape.max_length)
    attention = shape.attention(qkv_bias=bias, out_bias=bias, qk_norm=norm, sinks=True, wide_sinks=True)
    return [replace(attention, window=size, rotary=None if size is None else turning) for size in windows]


def _mixture(config: ConfigReader) -> MoeSpec:
    expert = gated_mlp(config, config.integer("moe_intermediate_size", 512))
    router = RouterSpec(Score.SIGMOID, normalise=config.flag("norm_topk_prob", True), wide=True)
    experts = config.integer("num_experts", 256)
    shared = gated_mlp(config, config.integer("shared_expert_intermediate_size", 1024))
    return replace(read_mixture(config, expert, experts=experts, top_k=6, router=router), shared=shared)


SHARED = "mlp.shared_expert."
FLINT = Family(
    read,
    gated_experts(
        replace(NORMED_NAMES, sinks="self_attn.sinks"),
        shared=(f"{SHARED}gate_proj", f"{SHARED}up_proj", f"{SHARED}down_proj"),
        renames=((r"self_attn\.softmax_offset", "self_attn.sinks"),),
    ),
    harmless=ROUTER_TRAINING,
)
