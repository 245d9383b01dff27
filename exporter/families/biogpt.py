"""BioGPT (Luo et al. 2022)."""

from __future__ import annotations

import math
from dataclasses import replace

from exporter.families.family import ACTIVATIONS, Family, head_dim
from exporter.families.reader import ConfigReader
from exporter.families.xglm import NAMES as XGLM_NAMES
from exporter.families.xglm import OFFSET
from exporter.spec import (
    AttentionSpec,
    EmbeddingSpec,
    HeadSpec,
    LayerSpec,
    MlpSpec,
    ModelSpec,
    NormKind,
    NormSpec,
    PositionKind,
    StackSpec,
)


def read(config: ConfigReader) -> ModelSpec:
    """XGLM with learned positions; the reference does not read ``layer_norm_eps``."""
    hidden, heads = config.integer("hidden_size", 1024), config.integer("num_attention_heads", 16)
    size = head_dim(config, hidden, heads, "hidden_size", "num_attention_heads")
    norm = NormSpec(NormKind.LAYER, 1e-5, bias=True)
    attention = AttentionSpec(heads, heads, size, scale=size**-0.5, qkv_bias=True, out_bias=True)
    activation = config.choice("hidden_act", ACTIVATIONS, "gelu")
    mlp = MlpSpec(config.integer("intermediate_size", 4096), activation, up_bias=True, down_bias=True)
    layer = LayerSpec(attention, mlp, attention_norm=norm, mlp_norm=norm)
    context = config.integer("max_position_embeddings", 1024)
    embedding = EmbeddingSpec(
        hidden,
        scale=math.sqrt(hidden) if config.flag("scale_embedding", True) else 1.0,
        positions=PositionKind.LEARNED,
        position_count=context,
        position_offset=OFFSET,
    )
    return ModelSpec(
        model_type="biogpt",
        vocab_size=config.integer("vocab_size", 42384),
        hidden_size=hidden,
        decoder=StackSpec(embedding, (layer,) * config.integer("num_hidden_layers", 24), norm),
        head=HeadSpec(tied=config.flag("tie_word_embeddings", True)),
        context_length=context,
        context_is_hard=True,
    )


NAMES = replace(XGLM_NAMES, prefix="biogpt.", head="output_projection", unused=())

BIOGPT = Family(
    read,
    NAMES,
    harmless=(
        *("hidden_dropout_prob", "attention_probs_dropout_prob", "layer_norm_eps", "layerdrop"),
        "activation_dropout",
    ),
)
