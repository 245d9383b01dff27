"""XGLM (Lin et al. 2021)."""

from __future__ import annotations

import math

from exporter.families.family import ACTIVATIONS, Family, head_dim
from exporter.families.names import Names
from exporter.families.reader import ConfigReader
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

# Rows of the position table before position 0: fairseq numbers positions from its padding token on.
OFFSET = 2


def read(config: ConfigReader) -> ModelSpec:
    """A pre-norm transformer with sinusoidal positions."""
    padding = config.raw("pad_token_id", 1)
    if padding is not None and padding >= OFFSET:
        config.problem(
            f"pad_token_id={padding} blanks a position in the reference; allowed are 0, 1 and null"
        )
    hidden, heads = config.integer("d_model", 1024), config.integer("attention_heads", 16)
    size = head_dim(config, hidden, heads, "d_model", "attention_heads")
    norm = NormSpec(NormKind.LAYER, 1e-5, bias=True)
    config.expect("add_cross_attention", False, why="cross-attention needs an encoder")
    attention = AttentionSpec(heads, heads, size, scale=size**-0.5, qkv_bias=True, out_bias=True)
    activation = config.choice("activation_function", ACTIVATIONS, "gelu")
    mlp = MlpSpec(config.integer("ffn_dim", 4096), activation, up_bias=True, down_bias=True)
    layer = LayerSpec(attention, mlp, attention_norm=norm, mlp_norm=norm)
    context = config.integer("max_position_embeddings", 2048)
    embedding = EmbeddingSpec(
        hidden,
        scale=math.sqrt(hidden) if config.flag("scale_embedding", True) else 1.0,
        positions=PositionKind.SINUSOIDAL,
        position_count=context,
        position_offset=OFFSET,
    )
    return ModelSpec(
        model_type="xglm",
        vocab_size=config.integer("vocab_size", 256008),
        hidden_size=hidden,
        decoder=StackSpec(embedding, (layer,) * config.integer("num_layers", 24), norm),
        head=HeadSpec(tied=config.flag("tie_word_embeddings", True)),
        context_length=context,
        context_is_hard=True,
    )


NAMES = Names(
    prefix="model.",
    tokens="embed_tokens",
    positions="embed_positions",
    layer="layers.{i}.",
    attention_norm="self_attn_layer_norm",
    qkv=("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    out="self_attn.out_proj",
    mlp_norm="final_layer_norm",
    up="fc1",
    down="fc2",
    final_norm="layer_norm",
    unused=(r"embed_positions\.weights$",),
)

XGLM = Family(
    read,
    NAMES,
    harmless=("dropout", "activation_dropout", "layerdrop", "init_std"),
    aliases={
        "num_attention_heads": "attention_heads",
        "hidden_size": "d_model",
        "num_hidden_layers": "num_layers",
    },
)
