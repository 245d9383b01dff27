"""Granite 3 (IBM 2024)."""

from __future__ import annotations

from exporter.families.family import Family
from exporter.families.llama import LLAMA_NAMES
from exporter.families.reader import ConfigReader
from exporter.families.rope import read_rotary
from exporter.families.shape import gated_mlp, read_shape, rms_norm, tied
from exporter.spec import EmbeddingSpec, HeadSpec, LayerSpec, ModelSpec


def read(config: ConfigReader) -> ModelSpec:
    """Llama with factors on the embedding, the scores, the branches and the logits."""
    shape = read_shape(config, vocab=32000, hidden=4096, width=11008, layers=32, heads=32, max_length=2048)
    norm, bias = rms_norm(config), config.flag("attention_bias", False)
    attention = shape.attention(
        rotary=read_rotary(config, shape.head_dim, shape.max_length),
        scale=config.number("attention_multiplier", 1.0),
        qkv_bias=bias,
        out_bias=bias,
    )
    layer = LayerSpec(
        attention,
        gated_mlp(config, shape.width, bias=config.flag("mlp_bias", False)),
        attention_norm=norm,
        mlp_norm=norm,
        residual_scale=config.number("residual_multiplier", 1.0),
    )
    embedding = EmbeddingSpec(shape.hidden, scale=config.number("embedding_multiplier", 1.0))
    scaling = config.number("logits_scaling", 1.0)
    if scaling == 0.0:
        config.problem("logits_scaling=0 divides the logits by zero")
    head = HeadSpec(tied(config), scale=1.0 / (scaling or 1.0))
    return shape.model("granite", [layer] * shape.layers, norm, head, embedding)


GRANITE = Family(read, LLAMA_NAMES)
