"""DeepSeek-V2 and DeepSeek-V3 (DeepSeek-AI 2024)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from exporter.families.deepseek_router import check_groups, deepseek_experts, read_deepseek_mixture
from exporter.families.experts import ROUTER_TRAINING, read_mixture, some_mixed
from exporter.families.family import Family
from exporter.families.latents import (
    COMPUTED,
    LATENT_NAMES,
    read_latent_attention,
    read_latent_sizes,
    read_layout,
)
from exporter.families.reader import ConfigReader
from exporter.families.shape import gated_mlp, rms_norm, tied
from exporter.spec import HeadSpec, ModelSpec, MoeSpec, RopeKind, RopeLayout, RotaryRounding, RouterSpec


def read_v2(config: ConfigReader) -> ModelSpec:
    """Latent attention, and mixtures whose shared experts are one block, behind some dense layers."""
    shape, latent = read_latent_sizes(
        config,
        rank=512,
        query_rank=1536,
        plain=128,
        rotated=64,
        value=128,
        vocab=102400,
        hidden=4096,
        width=11008,
        layers=32,
        heads=32,
        max_length=2048,
    )
    # Pairs of neighbours as complex numbers, in float32.
    layout, rounding = RopeLayout.INTERLEAVED, RotaryRounding.SUM
    attention = read_latent_attention(config, shape, latent, layout, rounding=rounding)
    bias, norm = config.flag("mlp_bias", False), rms_norm(config)
    plain = gated_mlp(config, shape.width, bias=bias)
    first = config.integer("first_k_dense_replace", 0, 0)
    mixed = [layer >= first for layer in range(shape.layers)]
    layers = some_mixed([attention] * shape.layers, mixed, v2_mixture(config, bias), plain, norm)
    return shape.model("deepseek_v2", layers, norm, HeadSpec(tied(config)))


def v2_mixture(config: ConfigReader, bias: bool) -> MoeSpec:
    """Softmax scores, of the best groups of experts or of all; they are never made to add up to one."""
    expert = gated_mlp(config, config.integer("moe_intermediate_size", 1407))
    router = RouterSpec(scale=config.number("routed_scaling_factor", 1.0), wide=True)
    if config.choice("topk_method", {"greedy": False, "group_limited_greedy": True}, "greedy"):
        groups, chosen = (config.integer(key) for key in ("n_group", "topk_group"))
        router = replace(router, groups=groups, chosen_groups=chosen, group_best=1)
    experts = config.integer("n_routed_experts", 64)
    mixture = read_mixture(config, expert, experts=experts, top_k=None, router=router)
    check_groups(config, mixture)
    shared = gated_mlp(config, expert.width * config.integer("n_shared_experts", 2), bias=bias)
    return replace(mixture, shared=shared)


def read_v3(config: ConfigReader) -> ModelSpec:
    """DeepSeek-V2 with a router of its own."""
    experts = {"experts": 256, "groups": 8, "chosen_groups": 4}
    sizes: Any = {
        "query_rank": 1536,
        "vocab": 129280,
        "hidden": 7168,
        "width": 18432,
        "layers": 61,
        "heads": 128,
    }
    return v3_model(config, "deepseek_v3", 3, experts, **sizes)


def v3_model(
    config: ConfigReader,
    model_type: str,
    dense: int,
    experts: Mapping[str, Any],
    also: Mapping[str, RopeKind] = MappingProxyType({}),
    **sizes: Any,
) -> ModelSpec:
    """A model of this plan; ``dense``, ``experts`` and ``sizes`` are the family's defaults.

    Args:
      dense: how many layers have no mixture.
      experts: of ``read_deepseek_mixture``.
      also: other names of kinds of rotary embedding.
      sizes: of ``read_latent_sizes``.
    """
    shape, latent = read_latent_sizes(
        config, rank=512, plain=128, rotated=64, value=128, max_length=4096, **sizes
    )
    attention = read_latent_attention(config, shape, latent, read_layout(config), also=also)
    mixture = read_deepseek_mixture(config, width=2048, top_k=8, scale=2.5, **experts)
    first = config.integer("first_k_dense_replace", dense, 0)
    mixed = [layer >= first for layer in range(shape.layers)]
    norm, plain = rms_norm(config), gated_mlp(config, shape.width)
    layers = some_mixed([attention] * shape.layers, mixed, mixture, plain, norm)
    return shape.model(model_type, layers, norm, HeadSpec(tied(config)))


#: What DeepSeek-V3's own code reads, and the reference's class takes for granted.
ASSUMED = {"moe_layer_freq": 1, "scoring_func": "sigmoid", "topk_method": "noaux_tc"}
NAMES = deepseek_experts(LATENT_NAMES)
DEEPSEEK_V2 = Family(
    read_v2,
    NAMES,
    harmless=(*ROUTER_TRAINING[:1], *COMPUTED, "n_group", "topk_group"),
    aliases={"num_experts": "n_routed_experts"},
)
DEEPSEEK_V3 = Family(
    read_v3,
    NAMES,
    harmless=(*ROUTER_TRAINING[:1], *COMPUTED),
    aliases={"num_local_experts": "n_routed_experts", "num_mtp_layers": "num_nextn_predict_layers"},
)
