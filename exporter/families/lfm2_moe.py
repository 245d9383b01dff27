"""LFM2 with mixtures (Liquid AI 2025)."""

from __future__ import annotations

from dataclasses import replace

from exporter.families.experts import read_mixture
from exporter.families.family import Family
from exporter.families.lfm2 import CONV, lfm2_layers, lfm2_norm
from exporter.families.lfm2 import NAMES as DENSE_NAMES
from exporter.families.names import Experts
from exporter.families.reader import ConfigReader
from exporter.families.shape import FULL, read_shape, tied
from exporter.spec import Activation, HeadSpec, MlpSpec, ModelSpec, MoeSpec, RouterSpec, Score


def read(config: ConfigReader) -> ModelSpec:
    """Dense blocks in the first layers, mixtures in the others."""
    shape = read_shape(
        config,
        vocab=65536,
        hidden=2048,
        width=7168,
        layers=32,
        heads=32,
        kv_heads=8,
        max_length=128000,
    )
    dense, plain = config.integer("num_dense_layers", 2, 0), MlpSpec(shape.width, Activation.SILU, gated=True)
    mixture, kinds = _mixture(config), config.choices("layer_types", (FULL, CONV), shape.layers)
    if kinds is None:
        config.problem(f"layer_types must say of every layer whether it is {FULL!r} or {CONV!r}")
    layers = [
        replace(layer, mlp=plain if index < dense else mixture)
        for index, layer in enumerate(lfm2_layers(config, shape, kinds or []))
    ]
    return shape.model("lfm2_moe", layers, lfm2_norm(config), HeadSpec(tied(config, True)))


def _mixture(config: ConfigReader) -> MoeSpec:
    router = RouterSpec(
        Score.SIGMOID,
        correction=config.flag("use_expert_bias", True),
        normalise=config.flag("norm_topk_prob", True),
        added=1e-6,
        scale=config.number("routed_scaling_factor", 1.0),
        rounded=True,
    )
    expert = MlpSpec(config.integer("moe_intermediate_size", 1792), Activation.SILU, gated=True)
    return read_mixture(config, expert, experts=config.integer("num_experts", 32), top_k=4, router=router)


EXPERT = "feed_forward.experts.{e}."
JOINED = replace(
    DENSE_NAMES,
    router="feed_forward.gate",
    correction="feed_forward.expert_bias",
    experts=("", "feed_forward.experts.gate_up_proj", "feed_forward.experts.down_proj"),
    expert_layout=Experts.HALVES,
)
NAMES = replace(
    JOINED,
    experts=(f"{EXPERT}w1", f"{EXPERT}w3", f"{EXPERT}w2"),
    expert_layout=Experts.APART,
    joined=JOINED,
)
LFM2_MOE = Family(
    read, NAMES, harmless=("output_router_logits",), aliases={"tie_embedding": "tie_word_embeddings"}
)
