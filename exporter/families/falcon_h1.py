"""Falcon-H1 (TII 2025): attention and a Mamba 2 state side by side in every layer, and factors everywhere."""

from __future__ import annotations

from dataclasses import replace

from exporter.families.bamba import BAMBA_NAMES
from exporter.families.family import Family
from exporter.families.mamba2 import hybrid_state
from exporter.families.reader import ConfigReader
from exporter.families.rope import read_rotary
from exporter.families.shape import Shape, gated_mlp, read_shape, rms_norm, tied
from exporter.spec import (
    AttentionSpec,
    EmbeddingSpec,
    HeadSpec,
    LayerSpec,
    Mamba2Spec,
    MlpSpec,
    ModelSpec,
    NormKind,
    NormSpec,
)


def read(config: ConfigReader) -> ModelSpec:
    """Both branches read one norm, and their sum is added."""
    shape = read_shape(
        config,
        vocab=128000,
        hidden=4096,
        width=14336,
        layers=32,
        heads=32,
        kv_heads=8,
        max_length=8192,
    )
    norm = rms_norm(config, 1e-5)
    layer = LayerSpec(
        attention=_attention(config, shape),
        state=_state(config, shape, norm.epsilon),
        mlp=_mlp(config, shape),
        attention_norm=norm,
        mlp_norm=norm,
    )
    head = HeadSpec(tied(config), scale=_factor(config, "lm_head_multiplier"))
    embedding = EmbeddingSpec(shape.hidden, scale=_factor(config, "embedding_multiplier"))
    return shape.model("falcon_h1", [layer] * shape.layers, norm, head, embedding)


def _attention(config: ConfigReader, shape: Shape) -> AttentionSpec:
    """A factor of the keys is one of the scores."""
    bias = config.flag("attention_bias", False)
    return shape.attention(
        rotary=read_rotary(config, shape.head_dim, shape.max_length),
        qkv_bias=bias,
        out_bias=bias,
        scale=shape.head_dim**-0.5 * _factor(config, "key_multiplier"),
        in_scale=_factor(config, "attention_in_multiplier"),
        out_scale=_factor(config, "attention_out_multiplier"),
    )


def _state(config: ConfigReader, shape: Shape, epsilon: float) -> Mamba2Spec:
    width = config.nullable_integer("mamba_d_ssm", 1024)
    normed = config.flag("mamba_rms_norm", False)
    scales = config.numbers("ssm_multipliers", 5) if config.has("ssm_multipliers") else (1.0,) * 5
    gate, inner, before, behind, step = scales
    norm = NormSpec(NormKind.RMS, epsilon)  # in float32 throughout
    return replace(
        hybrid_state(config, shape.hidden, norm if normed else None, width),
        out_bias=config.flag("projectors_bias", False),
        norm_first=config.flag("mamba_norm_before_gate", True),
        scales=(gate, inner, before, behind, step),
        in_scale=_factor(config, "ssm_in_multiplier"),
        out_scale=_factor(config, "ssm_out_multiplier"),
    )


def _mlp(config: ConfigReader, shape: Shape) -> MlpSpec:
    scales = config.numbers("mlp_multipliers", 2) if config.has("mlp_multipliers") else (1.0, 1.0)
    mlp = gated_mlp(config, shape.width, bias=config.flag("mlp_bias", False))
    return replace(mlp, gate_scale=scales[0], down_scale=scales[1])


def _factor(config: ConfigReader, key: str) -> float:
    return config.number(key, 1.0)


# Of the reference's generate, of the sizes of chunks, and what is worked out anew.
HARMLESS = (
    "layer_types",
    "mamba_chunk_size",
    "mamba_expand",
    "num_logits_to_keep",
    "partial_rotary_factor",
)
FALCON_H1 = Family(read, BAMBA_NAMES, harmless=HARMLESS, aliases={"layers_block_type": "layer_types"})
