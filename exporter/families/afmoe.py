"""Trinity (Arcee AI 2025)."""

from __future__ import annotations

from dataclasses import replace

from exporter.families.experts import ROUTER_OUTPUT, gated_experts, read_mixture, some_mixed
from exporter.families.family import Family
from exporter.families.llama import LLAMA_NAMES
from exporter.families.reader import ConfigReader
from exporter.families.rope import read_rotary
from exporter.families.shape import Shape, gated_mlp, read_shape, read_windows, rms_norm, tied
from exporter.spec import (
    AttentionSpec,
    EmbeddingSpec,
    HeadSpec,
    ModelSpec,
    MoeSpec,
    NormSpec,
    RouterSpec,
    Score,
)


def read(config: ConfigReader) -> ModelSpec:
    """Norms before and behind the branches, gated attention; windowed layers alone turn."""
    shape = read_shape(
        config,
        vocab=200192,
        hidden=2048,
        width=6144,
        layers=32,
        heads=16,
        head_dim=128,
        max_length=16384,
    )
    norm = replace(rms_norm(config, 1e-5), round_first=False, wide=True)
    dense = config.integer("num_dense_layers", 1, 0)
    mixed = [layer >= dense for layer in range(shape.layers)]
    plain = gated_mlp(config, shape.width)
    layers = [
        replace(layer, attention_out_norm=norm, mlp_out_norm=norm)
        for layer in some_mixed(_attentions(config, shape, norm), mixed, _mixture(config), plain, norm)
    ]
    scale = shape.hidden**0.5 if config.flag("mup_enabled", False) else 1.0
    embedding = EmbeddingSpec(shape.hidden, scale=scale)
    return shape.model("afmoe", layers, norm, HeadSpec(tied(config)), embedding)


def _attentions(config: ConfigReader, shape: Shape, norm: NormSpec) -> list[AttentionSpec]:
    """Every fourth layer sees everything, unless layer_types says otherwise."""
    bias, every = config.flag("attention_bias", False), config.integer("global_attn_every_n_layers", 4)
    window = config.nullable_integer("sliding_window", 1024)
    windows = read_windows(config, shape.layers, window, lambda layer: (layer + 1) % every != 0)
    turning = read_rotary(config, shape.head_dim, shape.max_length)
    attention = shape.attention(qkv_bias=bias, out_bias=bias, qk_norm=norm, gated=True)
    return [replace(attention, window=size, rotary=None if size is None else turning) for size in windows]


def _mixture(config: ConfigReader) -> MoeSpec:
    expert = gated_mlp(config, config.integer("moe_intermediate_size", 1408))
    scale = config.number("route_scale", 1.0)
    router = RouterSpec(Score.SIGMOID, correction=True, normalise=True, added=1e-20, scale=scale)
    experts, blocks = config.integer("num_experts", 64), config.integer("num_shared_experts", 2)
    mixture = read_mixture(config, expert, experts=experts, top_k=6, router=router)
    return replace(mixture, shared=replace(expert, width=expert.width * blocks))


SHARED = "mlp.shared_experts."
NAMES = replace(
    LLAMA_NAMES,
    attention_out_norm="post_attention_layernorm",
    mlp_norm="pre_mlp_layernorm",
    mlp_out_norm="post_mlp_layernorm",
    q_norm="self_attn.q_norm",
    k_norm="self_attn.k_norm",
    attention_gate="self_attn.gate_proj",
)
AFMOE = Family(
    read,
    gated_experts(
        NAMES,
        router="mlp.router.gate",
        correction="mlp.expert_bias",
        shared=(f"{SHARED}gate_proj", f"{SHARED}up_proj", f"{SHARED}down_proj"),
    ),
    harmless=ROUTER_OUTPUT,
)
