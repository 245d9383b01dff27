"""Granite 3 (IBM 2024), and kin: HyperCLOVA X (NAVER 2025), Granite with windows and sinks."""

from __future__ import annotations

from dataclasses import replace

from exporter.families.family import Family
from exporter.families.llama import LLAMA_NAMES
from exporter.families.reader import ConfigReader
from exporter.families.rope import read_rotary
from exporter.families.shape import Shape, gated_mlp, read_shape, read_windows, rms_norm, tied
from exporter.spec import (
    AttentionSpec,
    EmbeddingSpec,
    HeadSpec,
    LayerSpec,
    MlpSpec,
    ModelSpec,
    MoeSpec,
    NormSpec,
)


def read_granite(config: ConfigReader) -> ModelSpec:
    """Llama with factors on the embedding, the scores, the branches and the logits."""
    shape = read_shape(config, vocab=32000, hidden=4096, width=11008, layers=32, heads=32, max_length=2048)
    norm = rms_norm(config)
    layer = granite_layer(config, norm, granite_attention(config, shape, 1.0), granite_mlp(config, shape))
    return granite_model(config, "granite", shape, [layer] * shape.layers, norm, scale=granite_scale(config))


def read_hyperclovax(config: ConfigReader) -> ModelSpec:
    """The same with norms behind the branches; the factor of the logits is not its inverse."""
    shape = read_shape(config, vocab=32000, hidden=4096, width=11008, layers=32, heads=32, max_length=2048)
    norm, after = rms_norm(config), config.flag("use_post_norm", True)
    attention = granite_attention(config, shape, shape.head_dim**-0.5)
    layer = granite_layer(config, norm, attention, granite_mlp(config, shape))
    if after:
        layer = replace(layer, attention_out_norm=norm, mlp_out_norm=norm)
    scale = config.number("logits_scaling", 1.0)
    return granite_model(config, "hyperclovax", shape, [layer] * shape.layers, norm, scale=scale)


def read_granite_swa(config: ConfigReader) -> ModelSpec:
    """Granite with sinks; three of four layers are windowed, each has a rotary base of its own (0: none)."""
    shape = read_shape(
        config,
        vocab=100352,
        hidden=2560,
        width=8192,
        layers=24,
        heads=20,
        kv_heads=4,
        max_length=8192,
    )
    norm, mlp = rms_norm(config, 1e-5), granite_mlp(config, shape)
    attentions = granite_windows(config, shape)
    layers = [granite_layer(config, norm, attention, mlp) for attention in attentions]
    return granite_model(config, "granite_swa", shape, layers, norm, scale=granite_scale(config), ties=True)


def granite_windows(config: ConfigReader, shape: Shape) -> list[AttentionSpec]:
    """Attention with sinks; three of four layers are windowed."""
    attention = replace(granite_attention(config, shape, 1.0), sinks=True)
    window = config.nullable_integer("sliding_window", 128)
    windows = read_windows(config, shape.layers, window, lambda layer: layer % 4 != 0)
    by_theta = _by_theta(config, shape, attention)
    return [replace(turned, window=size) for turned, size in zip(by_theta, windows, strict=True)]


def _by_theta(config: ConfigReader, shape: Shape, attention: AttentionSpec) -> list[AttentionSpec]:
    if not config.has("layer_rope_theta"):
        return [attention] * shape.layers
    bases, rotary = config.numbers("layer_rope_theta", shape.layers), attention.rotary
    assert rotary is not None
    if min(bases) < 0:
        config.problem("layer_rope_theta must not hold numbers below 0")
    return [replace(attention, rotary=replace(rotary, theta=base) if base else None) for base in bases]


def granite_attention(config: ConfigReader, shape: Shape, scale: float) -> AttentionSpec:
    """``scale``: what is meant where there is no attention_multiplier."""
    bias = config.flag("attention_bias", False)
    return shape.attention(
        rotary=read_rotary(config, shape.head_dim, shape.max_length),
        scale=config.number("attention_multiplier", scale),
        qkv_bias=bias,
        out_bias=bias,
    )


def granite_mlp(config: ConfigReader, shape: Shape) -> MlpSpec:
    return gated_mlp(config, shape.width, bias=config.flag("mlp_bias", False))


def granite_layer(
    config: ConfigReader, norm: NormSpec, attention: AttentionSpec, mlp: MlpSpec | MoeSpec
) -> LayerSpec:
    return LayerSpec(
        attention,
        mlp,
        attention_norm=norm,
        mlp_norm=norm,
        residual_scale=config.number("residual_multiplier", 1.0),
    )


def granite_scale(config: ConfigReader) -> float:
    """What the logits are multiplied by."""
    scaling = config.number("logits_scaling", 1.0)
    if scaling == 0.0:
        config.problem("logits_scaling=0 divides the logits by zero")
    return 1.0 / (scaling or 1.0)


def granite_model(
    config: ConfigReader,
    model_type: str,
    shape: Shape,
    layers: list[LayerSpec],
    norm: NormSpec,
    *,
    scale: float,
    ties: bool = False,
) -> ModelSpec:
    embedding = EmbeddingSpec(shape.hidden, scale=config.number("embedding_multiplier", 1.0))
    return shape.model(model_type, layers, norm, HeadSpec(tied(config, ties), scale=scale), embedding)


GRANITE = Family(read_granite, LLAMA_NAMES)
HYPERCLOVAX = Family(
    read_hyperclovax,
    replace(LLAMA_NAMES, attention_out_norm="post_norm1", mlp_out_norm="post_norm2"),
)
GRANITE_SWA = Family(read_granite_swa, replace(LLAMA_NAMES, sinks="self_attn.sinks"))
