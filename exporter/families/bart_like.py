"""What the families around BART (Lewis et al. 2020) share: a reader and weight names, driven by a Layout."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from exporter.families.family import Family
from exporter.families.names import Names
from exporter.families.reader import ConfigReader
from exporter.families.shape import Keys, Shape, plain_mlp, read_shape, tied
from exporter.families.xglm import NORM, XGLM_NAMES
from exporter.spec import Block, EmbeddingSpec, HeadSpec, LayerSpec, ModelSpec, PositionKind, StackSpec

KEYS = {
    side: Keys("d_model", f"{side}_attention_heads", f"{side}_layers", f"{side}_ffn_dim")
    for side in ("encoder", "decoder")
}


@dataclass(frozen=True)
class Layout:
    """What tells one of these families from another.

    Attributes:
      sizes: defaults of ``read_shape``, but for the layers.
      block, positions: of both stacks.
      layers: defaults of the encoder's and of the decoder's.
      activation, scaled: defaults of activation_function and scale_embedding.
      offset: rows of the position table before position 0.
      embedding_norm: "", "after" the positions are added, or "first" in the decoder ("after" in the encoder).
      final_norm: whether a stack ends with one.
      logits_bias: whether there is a final_logits_bias.
      two_vocabularies: whether encoder and decoder may have one each.
    """

    model_type: str
    sizes: Mapping[str, int]
    block: Block
    positions: PositionKind
    layers: tuple[int, int] = (12, 12)
    activation: str = "gelu"
    scaled: bool = False
    offset: int = 0
    embedding_norm: str = ""
    final_norm: bool = False
    logits_bias: bool = True
    two_vocabularies: bool = False


def read(layout: Layout, config: ConfigReader) -> ModelSpec:
    """An encoder and a decoder that share token table and head."""
    source, target = (
        read_shape(config, KEYS[side], layers=layers, **layout.sizes)
        for side, layers in zip(KEYS, layout.layers, strict=True)
    )
    embedding = _embedding(layout, config, source)
    layer = _layer(layout, config, source)
    final = NORM if layout.final_norm else None
    encoder = StackSpec(embedding, (layer,) * source.layers, final)
    if layout.two_vocabularies:
        decoder_vocab = config.optional_integer("decoder_vocab_size") or source.vocab
        if not config.flag("share_encoder_decoder_embeddings", True):
            encoder, target = replace(encoder, vocab_size=source.vocab), replace(target, vocab=decoder_vocab)
    layer = _layer(layout, config, target)
    layer = replace(layer, cross_attention=layer.attention, cross_norm=NORM)
    spec = target.model(
        layout.model_type,
        [layer] * target.layers,
        final,
        HeadSpec(tied(config, True), bias=layout.logits_bias, bias_apart=layout.logits_bias),
        replace(embedding, norm_first=layout.embedding_norm == "first"),
        hard=layout.positions is not PositionKind.SINUSOIDAL,
    )
    return replace(spec, kind="encoder_decoder", encoder=encoder)


def _embedding(layout: Layout, config: ConfigReader, shape: Shape) -> EmbeddingSpec:
    scale = math.sqrt(shape.hidden) if config.flag("scale_embedding", layout.scaled) else 1.0
    norm = NORM if layout.embedding_norm else None
    embedding = shape.table(layout.positions, position_offset=layout.offset, scale=scale, norm=norm)
    if layout.positions is not PositionKind.SINUSOIDAL:
        return embedding
    # fairseq numbers positions from its padding token on.
    padding = config.integer("pad_token_id", 1, minimum=0)
    return replace(embedding, position_offset=padding + 1, padding_token=padding)


def _layer(layout: Layout, config: ConfigReader, shape: Shape) -> LayerSpec:
    attention = shape.attention(qkv_bias=True, out_bias=True)
    mlp = plain_mlp(config, shape.width, layout.activation)
    return LayerSpec(attention, mlp, layout.block, attention_norm=NORM, mlp_norm=NORM)


def names(layout: Layout, spec: ModelSpec) -> Names:
    """Weight names; ``shared`` is the one token table, unless the encoder has a vocabulary of its own."""
    assert spec.encoder is not None
    common = "" if spec.encoder.vocab_size else "shared"

    def stack(side: str) -> Names:
        return replace(
            XGLM_NAMES,
            tokens=f"{side}.embed_tokens",
            positions=f"{side}.embed_positions",
            embedding_norm=f"{side}.layernorm_embedding",
            layer=f"{side}.layers.{{i}}.",
            cross=("encoder_attn.q_proj", "encoder_attn.k_proj", "encoder_attn.v_proj"),
            cross_out="encoder_attn.out_proj",
            cross_norm="encoder_attn_layer_norm",
            final_norm=f"{side}.layer_norm",
            common=common,
            head_bias="final_logits_bias" if layout.logits_bias else "",
            # fairseq's version marks, and sinusoidal tables that older checkpoints store.
            unused=(r"(^|\.)(encoder|decoder)\.version$", r"\.embed_positions\.weights$"),
        )

    return replace(stack("decoder"), encoder=stack("encoder"))


def family(*args: Any, **kwargs: Any) -> Family:
    """The family of a layout; arguments as of Layout."""
    layout = Layout(*args, **kwargs)
    return Family(
        partial(read, layout), partial(names, layout), HARMLESS, KEYS["encoder"].aliases, encoder_decoder=True
    )


# Training.
HARMLESS = ("activation_dropout", "decoder_layerdrop", "dropout", "encoder_layerdrop")
