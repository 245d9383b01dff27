"""GPT-2 (Radford et al. 2019)."""

from __future__ import annotations

from exporter.families.family import ACTIVATIONS, Family, head_dim
from exporter.families.names import Linear, Names
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
    """A pre-norm transformer with learned positions."""
    hidden, heads = config.integer("n_embd", 768), config.integer("n_head", 12)
    size = head_dim(config, hidden, heads, "n_embd", "n_head")
    norm = NormSpec(NormKind.LAYER, config.number("layer_norm_epsilon", 1e-5), bias=True)
    width = config.optional_integer("n_inner") or 4 * hidden
    activation = config.choice("activation_function", ACTIVATIONS, "gelu_new")
    scale = size**-0.5 if config.flag("scale_attn_weights", True) else 1.0
    by_layer = config.flag("scale_attn_by_inverse_layer_idx", False)
    # Only the order of roundings in half precision; attention scores are float32 here in any case.
    config.flag("reorder_and_upcast_attn", False)
    config.expect("add_cross_attention", False, why="cross-attention needs an encoder")
    context = config.integer("n_positions", 1024)

    def layer(index: int) -> LayerSpec:
        attention = AttentionSpec(
            heads=heads,
            kv_heads=heads,
            head_dim=size,
            scale=scale / (index + 1) if by_layer else scale,
            qkv_bias=True,
            out_bias=True,
        )
        mlp = MlpSpec(width, activation, up_bias=True, down_bias=True)
        return LayerSpec(attention, mlp, attention_norm=norm, mlp_norm=norm)

    return ModelSpec(
        model_type="gpt2",
        vocab_size=config.integer("vocab_size", 50257),
        hidden_size=hidden,
        decoder=StackSpec(
            embedding=EmbeddingSpec(hidden, positions=PositionKind.LEARNED, position_count=context),
            layers=tuple(layer(index) for index in range(config.integer("n_layer", 12))),
            final_norm=norm,
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
    out="attn.c_proj",
    mlp_norm="ln_2",
    up="mlp.c_fc",
    down="mlp.c_proj",
    final_norm="ln_f",
    linear=Linear.IN_OUT,
    unused=(r"\.attn\.bias$", r"\.attn\.masked_bias$"),
)

GPT2 = Family(
    read,
    NAMES,
    harmless=(
        "n_ctx",
        "summary_type",
        "summary_use_proj",
        "summary_activation",
        "summary_proj_to_labels",
        "summary_first_dropout",
    ),
    aliases={
        "hidden_size": "n_embd",
        "max_position_embeddings": "n_positions",
        "num_attention_heads": "n_head",
        "num_hidden_layers": "n_layer",
    },
)
