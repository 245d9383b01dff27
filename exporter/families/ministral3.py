"""Ministral 3 (Mistral AI 2025), text model."""

from __future__ import annotations

from exporter.families.family import Family
from exporter.families.llama import LLAMA_NAMES
from exporter.families.reader import ConfigReader
from exporter.families.rope import flat_parameters, rotary
from exporter.families.shape import Shape, gated_mlp, read_shape, rms_norm, tied
from exporter.spec import AttentionSpec, HeadSpec, LayerSpec, ModelSpec

DEFAULT_ROPE = {
    "rope_type": "yarn",
    "rope_theta": 1_000_000.0,
    "factor": 16.0,
    "original_max_position_embeddings": 16384,
    "beta_fast": 32.0,
    "beta_slow": 1.0,
    "mscale_all_dim": 1.0,
    "mscale": 1.0,
    "llama_4_scaling_beta": 0.1,
}


def read(config: ConfigReader) -> ModelSpec:
    """Mistral with queries that grow with the logarithm of their position."""
    shape = read_shape(
        config,
        vocab=131072,
        hidden=4096,
        width=14336,
        layers=34,
        heads=32,
        kv_heads=8,
        head_dim=128,
        max_length=262144,
    )
    norm = rms_norm(config, 1e-5)
    layer = LayerSpec(
        _attention(config, shape), gated_mlp(config, shape.width), attention_norm=norm, mlp_norm=norm
    )
    return shape.model("ministral3", [layer] * shape.layers, norm, HeadSpec(tied(config)))


def _attention(config: ConfigReader, shape: Shape) -> AttentionSpec:
    theta = config.number("rope_theta", 10_000.0, positive=True)
    parameters = flat_parameters(config, DEFAULT_ROPE)
    original = parameters.optional_integer("original_max_position_embeddings") or shape.max_length
    beta = parameters.number("llama_4_scaling_beta")  # how the queries grow
    return shape.attention(
        rotary=rotary(config, parameters, shape.head_dim, shape.max_length, theta=theta),
        window=config.optional_integer("sliding_window"),
        position_scale=(beta, original),
    )


MINISTRAL3 = Family(read, LLAMA_NAMES)
