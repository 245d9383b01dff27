"""Phi-3.5-MoE (Abdin et al. 2024)."""

from __future__ import annotations

from dataclasses import replace

from exporter.families.experts import ROUTER_TRAINING
from exporter.families.family import Family
from exporter.families.llama import LLAMA_NAMES
from exporter.families.mixtral import block_sparse_experts
from exporter.families.reader import ConfigReader
from exporter.families.rope import flat_parameters, rotary
from exporter.families.shape import Shape, gated_mlp, layer_norm, read_shape, tied
from exporter.spec import HeadSpec, LayerSpec, ModelSpec, MoeSpec, RopeKind, RotarySpec, RouterSpec, Score


def read(config: ConfigReader) -> ModelSpec:
    """Mixtral with LayerNorm and a sparsemixer, which chooses two experts one after the other."""
    shape = read_shape(
        config, vocab=32064, hidden=4096, width=6400, layers=32, heads=32, kv_heads=8, max_length=131072
    )
    norm, bias = layer_norm(config, "rms_norm_eps"), config.flag("attention_bias", False)
    attention = shape.attention(
        rotary=_rotary(config, shape),
        window=config.optional_integer("sliding_window"),
        qkv_bias=bias,
        out_bias=bias,
    )
    layer = LayerSpec(attention, _mixture(config, shape), attention_norm=norm, mlp_norm=norm)
    head = HeadSpec(tied(config), bias=config.flag("lm_head_bias", False))
    return shape.model("phimoe", [layer] * shape.layers, norm, head)


def _rotary(config: ConfigReader, shape: Shape) -> RotarySpec:
    """Longrope here always has its short factors, and a temperature that is given for short texts."""
    theta, section = config.number("rope_theta", 1_000_000.0, positive=True), flat_parameters(config)
    config.optional_integer("original_max_position_embeddings")
    turning = rotary(config, section, shape.head_dim, shape.max_length, theta=theta)
    if turning.kind is RopeKind.DEFAULT:
        return turning
    if turning.kind is not RopeKind.LONGROPE:
        section.problem(f"rope_type={turning.kind.value!r} is not supported: of scalings only longrope is")
    return replace(turning, attention_factor=section.number("short_mscale"))


def _mixture(config: ConfigReader, shape: Shape) -> MoeSpec:
    config.expect("num_experts_per_tok", 2, why="a sparsemixer chooses two experts")
    experts = config.integer("num_local_experts", 16, 2)
    router = RouterSpec(Score.SPARSEMIXER, tolerance=config.number("router_jitter_noise", 0.01))
    return MoeSpec(experts, 2, router, gated_mlp(config, shape.width))


PHIMOE = Family(
    read,
    block_sparse_experts(LLAMA_NAMES, router="mlp.router"),
    harmless=(*ROUTER_TRAINING, "input_jitter_noise"),
)
