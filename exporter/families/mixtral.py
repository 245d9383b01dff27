"""Mixtral (Jiang et al. 2024)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from exporter.families.experts import ROUTER_TRAINING, gated_experts, read_mixture
from exporter.families.family import Family
from exporter.families.llama import LLAMA_NAMES
from exporter.families.names import Names
from exporter.families.reader import ConfigReader
from exporter.families.rope import read_rotary
from exporter.families.shape import gated_mlp, read_shape, rms_norm, tied
from exporter.spec import HeadSpec, LayerSpec, ModelSpec, RouterSpec


def read(config: ConfigReader) -> ModelSpec:
    """Mistral with a mixture in every layer; the weights of a token's experts add up to one."""
    shape = read_shape(
        config, vocab=32000, hidden=4096, width=14336, layers=32, heads=32, kv_heads=8, max_length=131072
    )
    attention = shape.attention(
        rotary=read_rotary(config, shape.head_dim, shape.max_length, theta=1_000_000.0),
        window=config.optional_integer("sliding_window"),
    )
    experts, expert = config.integer("num_local_experts", 8), gated_mlp(config, shape.width)
    mixture = read_mixture(config, expert, experts=experts, top_k=2, router=RouterSpec(normalise=True))
    norm = rms_norm(config, 1e-5)
    layer = LayerSpec(attention, mixture, attention_norm=norm, mlp_norm=norm)
    return shape.model("mixtral", [layer] * shape.layers, norm, HeadSpec(tied(config)))


def block_sparse_experts(base: Names, apart: dict[str, Any] | None = None, **others: Any) -> Names:
    """``base`` with Mixtral's names of experts stored apart, with the usual ones of joined experts.

    ``others`` are further Names, of both layouts, ``apart`` those that differ where experts are apart.
    """
    expert, usual = "block_sparse_moe.experts.{e}.", gated_experts(base, **others)
    names = {"router": "block_sparse_moe.gate", **(apart or {})}
    return replace(usual, experts=(f"{expert}w1", f"{expert}w3", f"{expert}w2"), **names)


MIXTRAL = Family(
    read,
    block_sparse_experts(LLAMA_NAMES),
    harmless=(*ROUTER_TRAINING, "router_jitter_noise"),
    aliases={"num_experts": "num_local_experts"},
)
