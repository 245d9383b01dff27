"""GLM-4 9B (THUDM 2024) and GLM-4 0414 (2025), which came as glm and glm4."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from exporter.families.family import Family
from exporter.families.llama import LLAMA_NAMES
from exporter.families.reader import ConfigReader
from exporter.families.rope import read_rotary
from exporter.families.shape import gated_mlp, read_shape, rms_norm, tied
from exporter.spec import HeadSpec, LayerSpec, ModelSpec, RopeLayout


def read(config: ConfigReader, model_type: str) -> ModelSpec:
    """Half of each head turns, neighbours in pairs; glm4 has norms behind the branches too."""
    shape = read_shape(
        config,
        vocab=151552,
        hidden=4096,
        width=13696,
        layers=40,
        heads=32,
        kv_heads=2,
        head_dim=128,
        max_length=131072,
    )
    norm, after = rms_norm(config, 1.5625e-07), model_type == "glm4"
    attention = shape.attention(
        rotary=read_rotary(
            config, shape.head_dim, shape.max_length, partial=0.5, layout=RopeLayout.INTERLEAVED
        ),
        qkv_bias=config.flag("attention_bias", True),
    )
    layer = LayerSpec(
        attention,
        gated_mlp(config, shape.width),
        attention_norm=norm,
        mlp_norm=norm,
        attention_out_norm=norm if after else None,
        mlp_out_norm=norm if after else None,
    )
    return shape.model(model_type, [layer] * shape.layers, norm, HeadSpec(tied(config)))


NAMES = replace(
    LLAMA_NAMES,
    gate="",
    up="mlp.gate_up_proj",
    attention_out_norm="post_self_attn_layernorm",
    mlp_out_norm="post_mlp_layernorm",
)
GLM = Family(partial(read, model_type="glm"), NAMES)
GLM4 = Family(partial(read, model_type="glm4"), NAMES)
