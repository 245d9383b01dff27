"""A.X-K1 (SK Telecom 2026): DeepSeek-V3 with a norm behind every mixture."""

from __future__ import annotations

from dataclasses import replace

from exporter.families.deepseek_router import deepseek_experts, read_deepseek_mixture
from exporter.families.experts import ROUTER_TRAINING, some_mixed
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
from exporter.spec import HeadSpec, ModelSpec, MoeSpec

DENSE, SPARSE = "dense", "sparse"


def read(config: ConfigReader) -> ModelSpec:
    """Queries are always compressed."""
    shape, latent = read_latent_sizes(
        config,
        rank=512,
        query_rank=1536,
        plain=128,
        rotated=64,
        value=128,
        vocab=163840,
        hidden=7168,
        width=18432,
        layers=61,
        heads=64,
        max_length=32768,
    )
    if latent.query_rank is None:
        config.wrong("q_lora_rank", None, "must be an integer")
    attention = read_latent_attention(config, shape, latent, read_layout(config))
    mixture = read_deepseek_mixture(
        config, width=2048, experts=192, top_k=8, groups=8, chosen_groups=4, scale=2.5
    )
    norm, plain = rms_norm(config), gated_mlp(config, shape.width)
    layers = some_mixed([attention] * shape.layers, _mixed(config, shape.layers), mixture, plain, norm)
    layers = [
        replace(layer, mlp_out_norm=norm) if isinstance(layer.mlp, MoeSpec) else layer for layer in layers
    ]
    return shape.model("axk1", layers, norm, HeadSpec(tied(config)))


def _mixed(config: ConfigReader, layers: int) -> list[bool]:
    """From ``mlp_layer_types``, or from what stood for it before."""
    first, step = config.integer("first_k_dense_replace", 1, 0), config.integer("moe_layer_freq", 1)
    types = config.choices("mlp_layer_types", (DENSE, SPARSE), layers)
    if types is None:
        return [layer >= first and layer % step == 0 for layer in range(layers)]
    return [kind == SPARSE for kind in types]


AXK1 = Family(
    read,
    deepseek_experts(
        replace(
            LATENT_NAMES,
            mlp_out_norm="post_mlp_layernorm",
            renames=((r"\.mlp\.post_mlp_layernorm\.", ".post_mlp_layernorm."),),  # of version 5
            unused=(r"\.post_mlp_layernorm\.weight$",),  # of dense layers, which do not use theirs
        ),
        correction_optional=True,
    ),
    harmless=(*ROUTER_TRAINING[:1], *COMPUTED),
    aliases={"num_local_experts": "n_routed_experts"},
)
