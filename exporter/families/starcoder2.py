"""StarCoder2 (Lozhkov et al. 2024)."""

from __future__ import annotations

from dataclasses import replace

from exporter.families.family import Family
from exporter.families.llama import LLAMA_NAMES
from exporter.families.reader import ConfigReader
from exporter.families.rope import read_rotary
from exporter.families.shape import layer_norm, plain_mlp, read_shape, tied
from exporter.spec import HeadSpec, LayerSpec, ModelSpec


def read(config: ConfigReader) -> ModelSpec:
    """Rotary positions, LayerNorm, plain feed-forward blocks; every layer may be windowed."""
    shape = read_shape(
        config, vocab=49152, hidden=3072, width=12288, layers=30, heads=24, kv_heads=2, max_length=4096
    )
    norm, bias = layer_norm(config, "norm_epsilon"), config.flag("use_bias", True)
    attention = shape.attention(
        rotary=read_rotary(config, shape.head_dim, shape.max_length),
        qkv_bias=bias,
        out_bias=bias,
        window=config.optional_integer("sliding_window"),
    )
    mlp = plain_mlp(config, shape.width, "gelu_pytorch_tanh", "hidden_act", bias=bias)
    layer = LayerSpec(attention, mlp, attention_norm=norm, mlp_norm=norm)
    return shape.model("starcoder2", [layer] * shape.layers, norm, HeadSpec(tied(config, True)))


STARCODER2 = Family(
    read,
    replace(LLAMA_NAMES, gate="", up="mlp.c_fc", down="mlp.c_proj"),
    harmless=("residual_dropout", "embedding_dropout"),
)
