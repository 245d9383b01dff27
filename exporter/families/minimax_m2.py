"""MiniMax-M2 (MiniMax 2025)."""

from __future__ import annotations

from exporter.families.experts import ROUTER_TRAINING, read_mixture
from exporter.families.family import Family
from exporter.families.llama import NORMED_NAMES
from exporter.families.mixtral import block_sparse_experts
from exporter.families.reader import ConfigReader
from exporter.families.rope import read_rotary
from exporter.families.shape import gated_mlp, read_shape, rms_norm, tied
from exporter.spec import HeadSpec, LayerSpec, ModelSpec, QkNormScope, RouterSpec, Score


def read(config: ConfigReader) -> ModelSpec:
    """A sigmoid router with a correction; norms over all of query and key, whose first features turn."""
    shape = read_shape(
        config,
        vocab=200064,
        hidden=3072,
        width=1536,
        layers=62,
        heads=48,
        kv_heads=8,
        head_dim=128,
        max_length=196608,
    )
    turned = config.optional_integer("rotary_dim")
    part = 1.0 if turned is None else turned / shape.head_dim
    norm = rms_norm(config)
    attention = shape.attention(
        rotary=read_rotary(config, shape.head_dim, shape.max_length, theta=5_000_000.0, partial=part),
        qk_norm=norm,
        qk_norm_scope=QkNormScope.ALL,
    )
    router = RouterSpec(Score.SIGMOID, correction=True, normalise=True, wide_correction=False)
    experts = config.integer("num_local_experts", 256)
    mixture = read_mixture(config, gated_mlp(config, shape.width), experts=experts, top_k=8, router=router)
    layer = LayerSpec(attention, mixture, attention_norm=norm, mlp_norm=norm)
    return shape.model("minimax_m2", [layer] * shape.layers, norm, HeadSpec(tied(config)))


NAMES = block_sparse_experts(
    NORMED_NAMES,
    {"correction": "block_sparse_moe.e_score_correction_bias"},
    correction="mlp.e_score_correction_bias",
)
MINIMAX_M2 = Family(
    read,
    NAMES,
    harmless=(*ROUTER_TRAINING, "router_jitter_noise"),
    aliases={"num_experts": "num_local_experts"},
)
