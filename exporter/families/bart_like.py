"""What the families around BART (Lewis et al. 2020) share: a reader and weight names, driven by a Layout."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from exporter.families.family import ACTIVATIONS, Family, head_dim
from exporter.families.names import Names
from exporter.families.reader import ConfigReader
from exporter.spec import (
    AttentionSpec,
    Block,
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

NORM = NormSpec(NormKind.LAYER, 1e-5, bias=True)


@dataclass(frozen=True)
class Layout:
    """What tells one of these families from another.

    Attributes:
      defaults: of its config class; the keys that all of them spell alike.
      offset: rows of the position table before position 0.
      embedding_norm: "", "after" the positions are added, or "first" in the decoder ("after" in the encoder).
      final_norm: whether a stack ends with one.
      logits_bias: whether there is a final_logits_bias.
      two_vocabularies: whether encoder and decoder may have one each.
    """

    model_type: str
    defaults: Mapping[str, Any]
    block: Block
    positions: PositionKind
    offset: int = 0
    embedding_norm: str = ""
    final_norm: bool = False
    logits_bias: bool = True
    two_vocabularies: bool = False


def read(layout: Layout, config: ConfigReader) -> ModelSpec:
    """An encoder and a decoder that share token table and head."""
    defaults = layout.defaults
    hidden = config.integer("d_model", defaults["d_model"])
    vocab = config.integer("vocab_size", defaults["vocab_size"])
    embedding = _embedding(layout, config, hidden)
    encoder = _stack(layout, config, "encoder", embedding)
    decoder = _stack(layout, config, "decoder", embedding)
    if layout.two_vocabularies:
        decoder_vocab = config.optional_integer("decoder_vocab_size") or vocab
        if not config.flag("share_encoder_decoder_embeddings", True):
            encoder, vocab = replace(encoder, vocab_size=vocab), decoder_vocab
    return ModelSpec(
        model_type=layout.model_type,
        vocab_size=vocab,
        hidden_size=hidden,
        decoder=decoder,
        head=HeadSpec(tied=config.flag("tie_word_embeddings", True), bias=layout.logits_bias),
        context_length=embedding.position_count,
        context_is_hard=layout.positions is not PositionKind.SINUSOIDAL,
        kind="encoder_decoder",
        encoder=encoder,
    )


def _embedding(layout: Layout, config: ConfigReader, hidden: int) -> EmbeddingSpec:
    scaled = config.flag("scale_embedding", layout.defaults.get("scale_embedding", False))
    embedding = EmbeddingSpec(
        hidden,
        scale=math.sqrt(hidden) if scaled else 1.0,
        positions=layout.positions,
        position_count=config.integer("max_position_embeddings", layout.defaults["max_position_embeddings"]),
        position_offset=layout.offset,
        norm=NORM if layout.embedding_norm else None,
    )
    if layout.positions is not PositionKind.SINUSOIDAL:
        return embedding
    # fairseq numbers positions from its padding token on.
    padding = config.integer("pad_token_id", 1, minimum=0)
    return replace(embedding, position_offset=padding + 1, padding_token=padding)


def _stack(layout: Layout, config: ConfigReader, side: str, embedding: EmbeddingSpec) -> StackSpec:
    defaults, hidden = layout.defaults, embedding.size
    heads_key = f"{side}_attention_heads"
    heads = config.integer(heads_key, defaults[heads_key])
    size = head_dim(config, hidden, heads, "d_model", heads_key)
    attention = AttentionSpec(heads, heads, size, scale=size**-0.5, qkv_bias=True, out_bias=True)
    activation = config.choice(
        "activation_function", ACTIVATIONS, defaults.get("activation_function", "gelu")
    )
    width = config.integer(f"{side}_ffn_dim", defaults[f"{side}_ffn_dim"])
    mlp = MlpSpec(width, activation, up_bias=True, down_bias=True)
    layer = LayerSpec(attention, mlp, layout.block, attention_norm=NORM, mlp_norm=NORM)
    if side == "decoder":
        layer = replace(layer, cross_attention=attention, cross_norm=NORM)
        embedding = replace(embedding, norm_first=layout.embedding_norm == "first")
    layers = config.integer(f"{side}_layers", defaults[f"{side}_layers"])
    return StackSpec(embedding, (layer,) * layers, NORM if layout.final_norm else None)


def names(layout: Layout, spec: ModelSpec) -> Names:
    """Weight names; ``shared`` is the one token table, unless the encoder has a vocabulary of its own."""
    assert spec.encoder is not None

    def stack(side: str) -> Names:
        return Names(
            prefix="model.",
            tokens=f"{side}.embed_tokens",
            positions=f"{side}.embed_positions",
            embedding_norm=f"{side}.layernorm_embedding",
            layer=f"{side}.layers.{{i}}.",
            attention_norm="self_attn_layer_norm",
            qkv=("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
            out="self_attn.out_proj",
            cross=("encoder_attn.q_proj", "encoder_attn.k_proj", "encoder_attn.v_proj"),
            cross_out="encoder_attn.out_proj",
            cross_norm="encoder_attn_layer_norm",
            mlp_norm="final_layer_norm",
            up="fc1",
            down="fc2",
            final_norm=f"{side}.layer_norm",
            common="" if spec.encoder and spec.encoder.vocab_size else "shared",
            head_bias="final_logits_bias" if layout.logits_bias else "",
            # fairseq's version marks, and sinusoidal tables that older checkpoints store.
            unused=(r"(^|\.)(encoder|decoder)\.version$", r"\.embed_positions\.weights$"),
        )

    return replace(stack("decoder"), encoder=stack("encoder"))


def family(layout: Layout) -> Family:
    """The family of a layout."""
    make: Callable[[ModelSpec], Names] = partial(names, layout)
    return Family(partial(read, layout), make, HARMLESS, ALIASES, encoder_decoder=True)


ALIASES = {
    "num_attention_heads": "encoder_attention_heads",
    "hidden_size": "d_model",
    "num_hidden_layers": "encoder_layers",
}

# Training, the tokenizer, task heads, and switches of an older common class that are built in by now.
HARMLESS = tuple(
    """
    _num_labels activation_dropout add_bias_logits add_final_layer_norm classif_dropout classifier_dropout
    decoder_layerdrop do_blenderbot_90_layernorm dropout encoder_layerdrop extra_layer_norm
    extra_pos_embeddings force_bos_token_to_be_generated init_std layernorm_variant normalize_before
    normalize_embedding output_past save_step static_position_embeddings unk_token_id variant
    """.split()  # noqa: SIM905
)
