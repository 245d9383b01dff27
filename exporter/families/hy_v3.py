"""Hy3 (Tencent 2026)."""

from __future__ import annotations

from dataclasses import replace

from exporter.families.deepseek_router import deepseek_experts
from exporter.families.experts import ROUTER_OUTPUT, read_layer_types, read_mixture, some_mixed
from exporter.families.family import Family
from exporter.families.llama import NORMED_NAMES
from exporter.families.reader import ConfigReader
from exporter.families.rope import read_rotary
from exporter.families.shape import gated_mlp, read_shape, rms_norm, tied
from exporter.spec import HeadSpec, ModelSpec, MoeSpec, RouterSpec, Score


def read(config: ConfigReader) -> ModelSpec:
    """Qwen3's attention; the first layer is dense, unless mlp_layer_types says otherwise."""
    shape = read_shape(
        config,
        vocab=120832,
        hidden=4096,
        width=13312,
        layers=80,
        heads=64,
        kv_heads=8,
        head_dim=128,
        max_length=131072,
    )
    norm, bias = rms_norm(config, 1e-5), config.flag("attention_bias", False)
    attention = shape.attention(
        rotary=read_rotary(config, shape.head_dim, shape.max_length, theta=11_158_840.0),
        qk_norm=norm,
        qkv_bias=bias,
        out_bias=bias,
    )
    mixed = read_layer_types(config, [layer > 0 for layer in range(shape.layers)])
    bias = config.flag("mlp_bias", False)
    plain = gated_mlp(config, shape.width, bias=bias)
    layers = some_mixed([attention] * shape.layers, mixed, _mixture(config, bias), plain, norm)
    return shape.model("hy_v3", layers, norm, HeadSpec(tied(config)))


def _mixture(config: ConfigReader, bias: bool) -> MoeSpec:
    expert = gated_mlp(config, config.integer("moe_intermediate_size", 1536))
    scale = config.number("router_scaling_factor", 2.826)
    router = RouterSpec(Score.SIGMOID, correction=True, normalise=True, added=1e-20, scale=scale, wide=True)
    experts, blocks = config.integer("num_experts", 192), config.integer("num_shared_experts", 1)
    mixture = read_mixture(config, expert, experts=experts, top_k=8, router=router)
    return replace(mixture, shared=gated_mlp(config, expert.width * blocks, bias=bias))


HY_V3 = Family(
    read,
    deepseek_experts(
        NORMED_NAMES,
        correction="mlp.e_score_correction_bias",
        renames=(
            (r"mlp\.router\.gate\.weight", "mlp.gate.weight"),
            (r"mlp\.expert_bias", "mlp.e_score_correction_bias"),
            (r"mlp\.shared_mlp\.", "mlp.shared_experts."),
        ),
    ),
    # Both sums of the shared block and the rest are one addition, rounded once.
    harmless=(*ROUTER_OUTPUT, "enable_moe_fp32_combine"),
    aliases={"num_local_experts": "num_experts"},
)
