"""Nemotron 3 and 4, Minitron (NVIDIA 2024)."""

from __future__ import annotations

from dataclasses import replace

from exporter.families.family import Family
from exporter.families.llama import LLAMA_NAMES
from exporter.families.reader import ConfigReader
from exporter.families.rope import read_rotary
from exporter.families.shape import layer_norm, plain_mlp, read_shape, tied
from exporter.spec import HeadSpec, LayerSpec, ModelSpec


def read(config: ConfigReader) -> ModelSpec:
    """LayerNorm of scale - 1, plain blocks of squared relu, half of each head turns."""
    shape = read_shape(config, vocab=256000, hidden=6144, width=24576, layers=32, heads=48, max_length=4096)
    norm, bias = replace(layer_norm(config, "norm_eps"), offset=1.0), config.flag("attention_bias", False)
    attention = shape.attention(
        rotary=read_rotary(config, shape.head_dim, shape.max_length, partial=0.5),
        qkv_bias=bias,
        out_bias=bias,
    )
    mlp = plain_mlp(config, shape.width, "relu2", "hidden_act", bias=config.flag("mlp_bias", False))
    layer = LayerSpec(attention, mlp, attention_norm=norm, mlp_norm=norm)
    return shape.model("nemotron", [layer] * shape.layers, norm, HeadSpec(tied(config)))


PLAIN_NAMES = replace(LLAMA_NAMES, gate="")
NEMOTRON = Family(read, PLAIN_NAMES)
