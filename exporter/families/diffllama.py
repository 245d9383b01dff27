"""DiffLlama (2024)."""

from __future__ import annotations

import math
from dataclasses import replace

from exporter.families.family import Family
from exporter.families.llama import LLAMA_NAMES
from exporter.families.reader import ConfigReader
from exporter.families.rope import read_rotary
from exporter.families.shape import gated_mlp, read_shape, rms_norm, tied
from exporter.spec import DifferenceSpec, HeadSpec, LayerSpec, ModelSpec


def read(config: ConfigReader) -> ModelSpec:
    """Llama with differential attention."""
    shape = read_shape(config, vocab=32000, hidden=2048, width=8192, layers=16, heads=32, max_length=2048)
    if shape.kv_heads % 2:
        config.problem(f"num_key_value_heads={shape.kv_heads} must be even: values are taken in halves")
    if config.number("attention_dropout", 0.0) > 0:
        config.problem("attention_dropout must be 0: the reference's class refuses any other")
    norm, bias = rms_norm(config, 1e-5), config.flag("attention_bias", False)
    attention = shape.attention(
        rotary=read_rotary(config, shape.head_dim, shape.max_length), qkv_bias=bias, out_bias=bias
    )
    layer = LayerSpec(attention, gated_mlp(config, shape.width), attention_norm=norm, mlp_norm=norm)
    starts = [0.8 - 0.6 * math.exp(-0.3 * index) for index in range(shape.layers)]
    layers = [
        replace(layer, attention=replace(attention, difference=DifferenceSpec(start, norm.epsilon)))
        for start in starts
    ]
    return shape.model("diffllama", layers, norm, HeadSpec(tied(config)))


DIFFLLAMA = Family(
    read,
    replace(
        LLAMA_NAMES,
        lambdas=("self_attn.lambda_q1", "self_attn.lambda_k1", "self_attn.lambda_q2", "self_attn.lambda_k2"),
    ),
    harmless=("lambda_std_dev",),
)
