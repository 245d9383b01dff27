"""BLOOM (BigScience 2022)."""

from __future__ import annotations

from exporter.families.alibi import interleaved_slopes
from exporter.families.family import Family
from exporter.families.names import Fused, Names
from exporter.families.reader import ConfigReader
from exporter.families.shape import Keys, layer_norm, read_shape, tied
from exporter.spec import (
    Activation,
    AlibiSpec,
    Block,
    EmbeddingSpec,
    HeadSpec,
    LayerSpec,
    MlpSpec,
    ModelSpec,
)

# n_inner is not looked at by the reference.
KEYS = Keys(heads="n_head", layers="n_layer", width="", max_length="")


def read(config: ConfigReader) -> ModelSpec:
    """A pre-norm transformer with ALiBi and a norm after the embedding; no position is out of reach."""
    shape = read_shape(config, KEYS, vocab=250880, hidden=64, layers=2, heads=8)
    norm = layer_norm(config, "layer_norm_epsilon")
    normed = config.flag("apply_residual_connection_post_layernorm", False)
    if config.flag("slow_but_exact", False) and config.integer("pretraining_tp", 1) > 1:
        config.problem("slow_but_exact=True is not supported: the reference then leaves out two biases")
    alibi = AlibiSpec(interleaved_slopes(shape.heads), rounded="model")
    layer = LayerSpec(
        shape.attention(qkv_bias=True, out_bias=True, alibi=alibi),
        MlpSpec(shape.width, Activation.GELU_TANH, up_bias=True, down_bias=True),
        block=Block.NORMED_RESIDUAL if normed else Block.SEQUENTIAL,
        attention_norm=norm,
        mlp_norm=norm,
    )
    embedding, head = EmbeddingSpec(shape.hidden, norm=norm), HeadSpec(tied(config, True))
    return shape.model("bloom", [layer] * shape.layers, norm, head, embedding)


BLOOM_NAMES = Names(
    prefix="transformer.",
    tokens="word_embeddings",
    embedding_norm="word_embeddings_layernorm",
    layer="h.{i}.",
    attention_norm="input_layernorm",
    qkv=("self_attention.query_key_value",),
    fused=Fused.GROUPED,
    out="self_attention.dense",
    mlp_norm="post_attention_layernorm",
    up="mlp.dense_h_to_4h",
    down="mlp.dense_4h_to_h",
    final_norm="ln_f",
)

BLOOM = Family(
    read,
    BLOOM_NAMES,
    harmless=("hidden_dropout", "pretraining_tp"),
    aliases={"n_embed": "hidden_size", **KEYS.aliases},
)
