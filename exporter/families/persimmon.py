"""Persimmon 8B (Adept 2023)."""

from __future__ import annotations

from exporter.families.family import Family
from exporter.families.names import Fused, Names
from exporter.families.reader import ConfigReader
from exporter.families.rope import read_rotary
from exporter.families.shape import Keys, layer_norm, plain_mlp, read_shape, tied
from exporter.spec import HeadSpec, LayerSpec, ModelSpec


def read(config: ConfigReader) -> ModelSpec:
    """LayerNorm, also of query and key, plain blocks of squared relu, half of each head turns."""
    shape = read_shape(
        config, Keys(), vocab=262144, hidden=4096, width=16384, layers=36, heads=64, max_length=16384
    )
    config.expect("head_dim", None, why="the reference's attention derives it")
    norm = layer_norm(config)
    attention = shape.attention(
        rotary=read_rotary(config, shape.head_dim, shape.max_length, partial=0.5),
        qk_norm=norm if config.flag("qk_layernorm", True) else None,
        qkv_bias=True,
        out_bias=True,
    )
    mlp = plain_mlp(config, shape.width, "relu2", "hidden_act")
    layer = LayerSpec(attention, mlp, attention_norm=norm, mlp_norm=norm)
    return shape.model("persimmon", [layer] * shape.layers, norm, HeadSpec(tied(config)))


PERSIMMON = Family(
    read,
    Names(
        prefix="model.",
        tokens="embed_tokens",
        layer="layers.{i}.",
        attention_norm="input_layernorm",
        qkv=("self_attn.query_key_value",),
        fused=Fused.GROUPED,
        q_norm="self_attn.q_layernorm",
        k_norm="self_attn.k_layernorm",
        out="self_attn.dense",
        mlp_norm="post_attention_layernorm",
        up="mlp.dense_h_to_4h",
        down="mlp.dense_4h_to_h",
        final_norm="final_layernorm",
    ),
    harmless=("hidden_dropout",),
)
