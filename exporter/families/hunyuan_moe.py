"""Hunyuan-A13B (Tencent 2025)."""

from __future__ import annotations

from dataclasses import replace

from exporter.families.experts import ROUTER_OUTPUT, gated_experts, read_mixture
from exporter.families.family import Family
from exporter.families.hunyuan import NAMES, read_hunyuan_attention
from exporter.families.reader import ConfigReader
from exporter.families.shape import gated_mlp, read_shape, rms_norm, tied
from exporter.spec import HeadSpec, LayerSpec, MlpSpec, ModelSpec, MoeSpec, RouterSpec


def read(config: ConfigReader) -> ModelSpec:
    """Hunyuan with a mixture in every layer, which may choose a number of experts of its own."""
    shape = read_shape(config, vocab=290943, hidden=4096, width=11008, layers=32, heads=32, max_length=2048)
    norm, attention = rms_norm(config, 1e-5), read_hunyuan_attention(config, shape)
    expert = gated_mlp(config, shape.width)
    layers = [
        LayerSpec(attention, replace(mixture, shared=expert), attention_norm=norm, mlp_norm=norm)
        for mixture in _mixtures(config, expert, shape.layers)
    ]
    return shape.model("hunyuan_v1_moe", layers, norm, HeadSpec(tied(config)))


def _mixtures(config: ConfigReader, expert: MlpSpec, layers: int) -> list[MoeSpec]:
    experts, router = config.integer("num_experts", 1), RouterSpec(normalise=True)
    if not isinstance(config.raw("moe_topk"), list):
        mixture = read_mixture(config, expert, experts=experts, top_k=1, router=router, key="moe_topk")
        return [mixture] * layers
    counts = config.choices("moe_topk", range(1, experts + 1), layers, more=True) or [1] * layers
    return [MoeSpec(experts, count, router, expert) for count in counts[:layers]]


SHARED = "mlp.shared_mlp."
HUNYUAN_MOE = Family(
    read,
    gated_experts(
        NAMES,
        router="mlp.gate.wg",
        shared=(f"{SHARED}gate_proj", f"{SHARED}up_proj", f"{SHARED}down_proj"),
    ),
    harmless=ROUTER_OUTPUT,
    aliases={"num_experts_per_tok": "moe_topk", "num_local_experts": "num_experts"},
)
