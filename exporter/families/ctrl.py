"""CTRL (Keskar et al. 2019)."""

from __future__ import annotations

import math
from dataclasses import replace

from exporter.families.family import Family
from exporter.families.gpt2 import GPT2_KEYS
from exporter.families.names import Names
from exporter.families.reader import ConfigReader
from exporter.families.shape import layer_norm, read_shape, tied
from exporter.spec import (
    Activation,
    HeadSpec,
    LayerSpec,
    MlpSpec,
    ModelSpec,
    NormKind,
    NormSpec,
    PositionKind,
)

KEYS = replace(GPT2_KEYS, width="dff")


def read(config: ConfigReader) -> ModelSpec:
    """A pre-norm transformer with a scaled embedding and a table of sines and cosines."""
    shape = read_shape(
        config, KEYS, vocab=246534, hidden=1280, width=8192, layers=48, heads=16, max_length=256
    )
    if shape.hidden % 2:
        config.wrong("n_embd", shape.hidden, "must be even: sines and cosines have half each")
    norm = NormSpec(NormKind.LAYER, 1e-6, bias=True)  # whatever layer_norm_epsilon says: the reference's too
    mlp = MlpSpec(shape.width, Activation.RELU, up_bias=True, down_bias=True)
    attention = shape.attention(qkv_bias=True, out_bias=True)
    layer = LayerSpec(attention, mlp, attention_norm=norm, mlp_norm=norm)
    embedding = shape.table(PositionKind.VASWANI, scale=math.sqrt(shape.hidden))
    final = layer_norm(config, "layer_norm_epsilon", 1e-6)
    head = HeadSpec(tied(config, True), bias=True)
    return shape.model("ctrl", [layer] * shape.layers, final, head, embedding, hard=True)


CTRL = Family(
    read,
    Names(
        prefix="transformer.",
        tokens="w",
        positions="pos_encoding",
        layer="h.{i}.",
        attention_norm="layernorm1",
        qkv=("multi_head_attention.Wq", "multi_head_attention.Wk", "multi_head_attention.Wv"),
        out="multi_head_attention.dense",
        mlp_norm="layernorm2",
        up="ffn.0",
        down="ffn.2",
        final_norm="layernorm",
    ),
    ("embd_pdrop", "resid_pdrop"),
    KEYS.aliases,
)
