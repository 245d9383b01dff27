"""BLOOM (BigScience 2022)."""

from __future__ import annotations

from exporter.families.alibi import interleaved_slopes
from exporter.families.family import Family, head_dim
from exporter.families.names import Fused, Names
from exporter.families.reader import ConfigReader
from exporter.spec import (
    Activation,
    AlibiSpec,
    AttentionSpec,
    Block,
    EmbeddingSpec,
    HeadSpec,
    LayerSpec,
    MlpSpec,
    ModelSpec,
    NormKind,
    NormSpec,
    StackSpec,
)


def read(config: ConfigReader) -> ModelSpec:
    """A pre-norm transformer with ALiBi and a norm after the embedding; no position is out of reach."""
    hidden, heads = config.integer("hidden_size", 64), config.integer("n_head", 8)
    size = head_dim(config, hidden, heads, "hidden_size", "n_head")
    norm = NormSpec(NormKind.LAYER, config.number("layer_norm_epsilon", 1e-5), bias=True)
    normed = config.flag("apply_residual_connection_post_layernorm", False)
    if config.flag("slow_but_exact", False) and config.integer("pretraining_tp", 1) > 1:
        config.problem("slow_but_exact=True is not supported: the reference then leaves out two biases")
    layer = LayerSpec(
        AttentionSpec(
            heads=heads,
            kv_heads=heads,
            head_dim=size,
            scale=size**-0.5,
            qkv_bias=True,
            out_bias=True,
            alibi=AlibiSpec(interleaved_slopes(heads)),
        ),
        MlpSpec(4 * hidden, Activation.GELU_TANH, up_bias=True, down_bias=True),
        block=Block.NORMED_RESIDUAL if normed else Block.SEQUENTIAL,
        attention_norm=norm,
        mlp_norm=norm,
    )
    return ModelSpec(
        model_type="bloom",
        vocab_size=config.integer("vocab_size", 250880),
        hidden_size=hidden,
        decoder=StackSpec(
            embedding=EmbeddingSpec(hidden, norm=norm),
            layers=(layer,) * config.integer("n_layer", 2),
            final_norm=norm,
        ),
        head=HeadSpec(tied=config.flag("tie_word_embeddings", True)),
        context_length=None,
    )


NAMES = Names(
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
    NAMES,
    harmless=(
        *("hidden_dropout", "n_inner", "seq_length", "unk_token_id", "offset_alibi", "pretraining_tp"),
        *("attention_softmax_in_fp32", "bias_dropout_fusion", "masked_softmax_fusion", "skip_bias_add"),
        "skip_bias_add_qkv",
    ),
    aliases={"n_embed": "hidden_size", "num_hidden_layers": "n_layer", "num_attention_heads": "n_head"},
)
