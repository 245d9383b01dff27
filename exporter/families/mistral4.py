"""Mistral 4 (Mistral AI 2026), text model: DeepSeek-V3's attention, and softmax scores in its router."""

from __future__ import annotations

from dataclasses import replace

from exporter.families.deepseek_router import check_groups, deepseek_experts
from exporter.families.experts import ROUTER_TRAINING, read_mixture, some_mixed
from exporter.families.family import Family
from exporter.families.latents import (
    COMPUTED,
    LATENT_NAMES,
    latent_attention,
    read_latent_sizes,
    read_layout,
)
from exporter.families.reader import ConfigReader
from exporter.families.rope import flat_parameters, rotary
from exporter.families.shape import Shape, gated_mlp, rms_norm, tied
from exporter.spec import AttentionSpec, HeadSpec, LatentSpec, ModelSpec, MoeSpec, RopeKind, RouterSpec

DEFAULT_ROPE = {
    "type": "yarn",
    "rope_theta": 10000.0,
    "factor": 128.0,
    "original_max_position_embeddings": 8192,
    "beta_fast": 32.0,
    "beta_slow": 1.0,
    "mscale_all_dim": 1.0,
    "mscale": 1.0,
    "llama_4_scaling_beta": 0.1,
}


def read(config: ConfigReader) -> ModelSpec:
    """Queries grow with the logarithm of their position, as in Ministral 3."""
    shape, latent = read_latent_sizes(
        config,
        rank=256,
        query_rank=1024,
        plain=64,
        rotated=64,
        value=128,
        vocab=131072,
        hidden=4096,
        width=12288,
        layers=36,
        heads=32,
        max_length=1048576,
    )
    first = config.integer("first_k_dense_replace", 0, 0)
    mixed = [layer >= first for layer in range(shape.layers)]
    norm, plain = rms_norm(config), gated_mlp(config, shape.width)
    attentions = [_attention(config, shape, latent)] * shape.layers
    layers = some_mixed(attentions, mixed, _mixture(config), plain, norm)
    return shape.model("mistral4", layers, norm, HeadSpec(tied(config)))


def _attention(config: ConfigReader, shape: Shape, latent: LatentSpec) -> AttentionSpec:
    """A head's rotated part is told as a share of the head; a rope_type of "default" turns all of it."""
    theta = config.number("rope_theta", 10_000.0, positive=True)
    config.harmless("partial_rotary_factor")  # the reference has set it to the share before it looks at it
    parameters = flat_parameters(config, DEFAULT_ROPE)
    original = parameters.optional_integer("original_max_position_embeddings") or shape.max_length
    beta = parameters.number("llama_4_scaling_beta")
    turning = rotary(
        config,
        parameters,
        shape.head_dim,
        shape.max_length,
        theta=theta,
        part=latent.rotated / shape.head_dim,
        layout=read_layout(config),
        whole=False,
    )
    if turning.kind is RopeKind.DEFAULT:
        parameters.wrong("rope_type", "default", "turns whole heads, which this family's do not")
    attention = latent_attention(config, shape, latent, turning, parameters)
    return replace(attention, position_scale=(beta, original))


def _mixture(config: ConfigReader) -> MoeSpec:
    """Groups of experts by the two best of each; nothing is kept in float32."""
    expert = gated_mlp(config, config.integer("moe_intermediate_size", 2048))
    router = RouterSpec(
        groups=config.integer("n_group", 1),
        chosen_groups=config.integer("topk_group", 1),
        normalise=config.flag("norm_topk_prob", True, null=False),
        added=1e-20,
        scale=config.number("routed_scaling_factor", 1.0),
    )
    experts = config.integer("n_routed_experts", 128)
    mixture = read_mixture(config, expert, experts=experts, top_k=4, router=router)
    check_groups(config, mixture)
    blocks = config.integer("n_shared_experts", 1)
    return replace(mixture, shared=replace(expert, width=expert.width * blocks))


# The reference knows no other way to store these experts.
NAMES = deepseek_experts(LATENT_NAMES, correction="").joined
assert NAMES is not None
MISTRAL4 = Family(
    read,
    NAMES,
    harmless=(*ROUTER_TRAINING[:1], *COMPUTED),
    aliases={"num_local_experts": "n_routed_experts"},
)
