"""MiniCPM3 (OpenBMB 2024): dense, with latent attention and the scales of maximal update parametrisation."""

from __future__ import annotations

from exporter.families.family import Family
from exporter.families.latents import (
    COMPUTED,
    LATENT_NAMES,
    read_latent_attention,
    read_latent_sizes,
)
from exporter.families.reader import ConfigReader
from exporter.families.shape import Shape, gated_mlp, rms_norm, tied
from exporter.spec import EmbeddingSpec, HeadSpec, LayerSpec, ModelSpec, RopeLayout


def read(config: ConfigReader) -> ModelSpec:
    """Llama with latent attention; token vectors, branches and logits are scaled."""
    shape, latent = read_latent_sizes(
        config,
        rank=256,
        query_rank=768,
        plain=64,
        rotated=32,
        value=None,
        vocab=73448,
        hidden=2560,
        width=6400,
        layers=62,
        heads=40,
        max_length=32768,
    )
    attention = read_latent_attention(config, shape, latent, RopeLayout.HALVES)
    norm = rms_norm(config, 1e-5)
    layer = LayerSpec(
        attention,
        gated_mlp(config, shape.width, bias=config.flag("mlp_bias", False)),
        attention_norm=norm,
        mlp_norm=norm,
        residual_scale=_residual_scale(config, shape),
    )
    embedding = EmbeddingSpec(shape.hidden, scale=config.number("scale_emb", 12.0), rounded_scale=True)
    head = HeadSpec(tied(config, True), input_scale=_head_scale(config, shape))
    return shape.model("minicpm3", [layer] * shape.layers, norm, head, embedding)


def _residual_scale(config: ConfigReader, shape: Shape) -> float:
    """``scale_depth`` over the square root of the number of layers; null: nothing is scaled."""
    depth = config.nullable_number("scale_depth", 1.4)
    return 1.0 if depth is None else float(depth / shape.layers**0.5)


def _head_scale(config: ConfigReader, shape: Shape) -> float:
    """``dim_model_base`` over the hidden size; null: nothing is scaled."""
    base = config.nullable_integer("dim_model_base", 256)
    return 1.0 if base is None else base / shape.hidden


MINICPM3 = Family(read, LATENT_NAMES, harmless=COMPUTED)
