"""XGLM (Lin et al. 2021)."""

from __future__ import annotations

import math

from exporter.families.family import Family
from exporter.families.names import Names
from exporter.families.reader import ConfigReader
from exporter.families.shape import Keys, Shape, plain_mlp, read_shape, tied
from exporter.spec import HeadSpec, LayerSpec, MlpSpec, ModelSpec, NormKind, NormSpec, PositionKind

KEYS = Keys("d_model", "attention_heads", "num_layers", "ffn_dim")
XGLM_NAMES = Names(
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

NORM = NormSpec(NormKind.LAYER, 1e-5, bias=True)
# Rows of the position table before position 0: fairseq numbers positions from its padding token on.
OFFSET = 2


def read(config: ConfigReader) -> ModelSpec:
    """A pre-norm transformer with sinusoidal positions."""
    if config.has("pad_token_id") and (padding := config.integer("pad_token_id", minimum=0)) >= OFFSET:
        config.problem(
            f"pad_token_id={padding} blanks a position in the reference; allowed are 0, 1 and null"
        )
    shape = read_shape(
        config, KEYS, vocab=256008, hidden=1024, width=4096, layers=24, heads=16, max_length=2048
    )
    mlp = plain_mlp(config, shape.width, "gelu")
    return xglm_model(config, "xglm", shape, mlp, PositionKind.SINUSOIDAL)


def xglm_model(
    config: ConfigReader, model_type: str, shape: Shape, mlp: MlpSpec, positions: PositionKind
) -> ModelSpec:
    attention = shape.attention(qkv_bias=True, out_bias=True)
    layer = LayerSpec(attention, mlp, attention_norm=NORM, mlp_norm=NORM)
    scale = math.sqrt(shape.hidden) if config.flag("scale_embedding", True) else 1.0
    embedding = shape.table(positions, scale=scale, position_offset=OFFSET)
    head = HeadSpec(tied(config, True))
    return shape.model(model_type, [layer] * shape.layers, NORM, head, embedding, hard=True)


XGLM = Family(
    read,
    XGLM_NAMES,
    harmless=("dropout", "activation_dropout", "layerdrop"),
    aliases=KEYS.aliases,
)
