"""GPT-Neo (EleutherAI 2021)."""

from __future__ import annotations

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


def read(config: ConfigReader) -> ModelSpec:
    """GPT-2 with unscaled attention that in some layers sees a window only."""
    hidden, heads = config.integer("hidden_size", 2048), config.integer("num_heads", 16)
    size = head_dim(config, hidden, heads, "hidden_size", "num_heads")
    norm = NormSpec(NormKind.LAYER, config.number("layer_norm_epsilon", 1e-5), bias=True)
    width = config.optional_integer("intermediate_size") or 4 * hidden
    activation = config.choice("activation_function", ACTIVATIONS, "gelu_new")
    mlp = MlpSpec(width, activation, up_bias=True, down_bias=True)
    window, context = config.integer("window_size", 256), config.integer("max_position_embeddings", 2048)

    def layer(kind: str) -> LayerSpec:
        attention = AttentionSpec(
            heads=heads,
            kv_heads=heads,
            head_dim=size,
            scale=1.0,
            out_bias=True,
            window=window if kind == "local" else None,
        )
        return LayerSpec(attention, mlp, attention_norm=norm, mlp_norm=norm)

    return ModelSpec(
        model_type="gpt_neo",
        vocab_size=config.integer("vocab_size", 50257),
        hidden_size=hidden,
        decoder=StackSpec(
            EmbeddingSpec(hidden, positions=PositionKind.LEARNED, position_count=context),
            tuple(layer(kind) for kind in _kinds(config, config.integer("num_layers", 24))),
            norm,
        ),
        head=HeadSpec(tied=config.flag("tie_word_embeddings", True)),
        context_length=context,
        context_is_hard=True,
    )


def _kinds(config: ConfigReader, layers: int) -> list[str]:
    """``attention_layers``, one a layer; or ``attention_types``, [[[kind, ...], times], ...], written out."""
    types = config.raw("attention_types") or [[["global", "local"], 12]]
    kinds = config.raw("attention_layers")
    if kinds is None:
        kinds = [kind for group, times in types for _ in range(times) for kind in group]
    if len(kinds) != layers or not set(kinds) <= {"global", "local"}:
        config.problem(f"attention_layers={kinds!r} must name global or local for each of {layers} layers")
    return list(kinds)


NAMES = Names(
    prefix="transformer.",
    tokens="wte",
    positions="wpe",
    layer="h.{i}.",
    attention_norm="ln_1",
    qkv=("attn.attention.q_proj", "attn.attention.k_proj", "attn.attention.v_proj"),
    out="attn.attention.out_proj",
    mlp_norm="ln_2",
    up="mlp.c_fc",
    down="mlp.c_proj",
    final_norm="ln_f",
    unused=(r"\.attention\.bias$", r"\.attention\.masked_bias$"),
)

GPT_NEO = Family(
    read,
    NAMES,
    harmless=(
        *("resid_dropout", "embed_dropout", "classifier_dropout", "summary_type", "summary_use_proj"),
        *("summary_activation", "summary_proj_to_labels", "summary_first_dropout"),
    ),
    aliases={"num_attention_heads": "num_heads", "num_hidden_layers": "num_layers"},
)
