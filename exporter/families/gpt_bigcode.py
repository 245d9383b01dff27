"""GPT-BigCode: SantaCoder and StarCoder (Li et al. 2023)."""

from __future__ import annotations

from exporter.families.family import ACTIVATIONS, Family, head_dim
from exporter.families.names import Fused, Names
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


def read(config: ConfigReader) -> ModelSpec:
    """GPT-2 with one key and value head for all queries."""
    hidden, heads = config.integer("n_embd", 768), config.integer("n_head", 12)
    size = head_dim(config, hidden, heads, "n_embd", "n_head")
    norm = NormSpec(NormKind.LAYER, config.number("layer_norm_epsilon", 1e-5), bias=True)
    config.expect("add_cross_attention", False, why="cross-attention needs an encoder")
    attention = AttentionSpec(
        heads=heads,
        kv_heads=1 if config.flag("multi_query", True) else heads,
        head_dim=size,
        scale=size**-0.5 if config.flag("scale_attn_weights", True) else 1.0,
        qkv_bias=True,
        out_bias=True,
    )
    width = config.optional_integer("n_inner") or 4 * hidden
    activation = config.choice("activation_function", ACTIVATIONS, "gelu_pytorch_tanh")
    mlp = MlpSpec(width, activation, up_bias=True, down_bias=True)
    layer = LayerSpec(attention, mlp, attention_norm=norm, mlp_norm=norm)
    context = config.integer("n_positions", 1024)
    return ModelSpec(
        model_type="gpt_bigcode",
        vocab_size=config.integer("vocab_size", 50257),
        hidden_size=hidden,
        decoder=StackSpec(
            EmbeddingSpec(hidden, positions=PositionKind.LEARNED, position_count=context),
            (layer,) * config.integer("n_layer", 12),
            norm,
        ),
        head=HeadSpec(tied=config.flag("tie_word_embeddings", True)),
        context_length=context,
        context_is_hard=True,
    )


NAMES = Names(
    prefix="transformer.",
    tokens="wte",
    positions="wpe",
    layer="h.{i}.",
    attention_norm="ln_1",
    qkv=("attn.c_attn",),
    fused=Fused.GROUPED,
    out="attn.c_proj",
    mlp_norm="ln_2",
    up="mlp.c_fc",
    down="mlp.c_proj",
    final_norm="ln_f",
    unused=(r"\.attn\.bias$", r"\.attn\.masked_bias$", r"^(transformer\.)?bias$"),
)

GPT_BIGCODE = Family(
    read,
    NAMES,
    # num_key_value_heads follows from multi_query; softmax is float32 here in any case.
    harmless=(
        *("num_key_value_heads", "attention_softmax_in_fp32", "scale_attention_softmax_in_fp32", "n_ctx"),
        *("inference_runner", "validate_runner_input", "pad_key_length", "pre_allocate_kv_cache"),
        *("max_sequence_length", "max_batch_size", "summary_type", "summary_use_proj"),
        *("summary_activation", "summary_proj_to_labels", "summary_first_dropout"),
    ),
    aliases={
        "hidden_size": "n_embd",
        "max_position_embeddings": "n_positions",
        "num_attention_heads": "n_head",
        "num_hidden_layers": "n_layer",
    },
)
