"""Granite 4 (IBM 2025): Granite with Mamba 2 states in most layers."""

from __future__ import annotations

from dataclasses import replace

from exporter.families.family import Family
from exporter.families.granite import granite_embedding, granite_head
from exporter.families.llama import LLAMA_NAMES
from exporter.families.mamba2 import hybrid_state, mamba2_names
from exporter.families.mixtral import ROUTER_TRAINING
from exporter.families.qwen3_next import LINEAR, layer_kinds
from exporter.families.reader import ConfigReader
from exporter.families.rope import read_rotary
from exporter.families.shape import FULL, gated_mlp, read_shape, rms_norm
from exporter.spec import LayerSpec, ModelSpec


def read(config: ConfigReader) -> ModelSpec:
    """Factors as in Granite 3; positions only where position_embedding_type is rope."""
    shape = read_shape(config, vocab=32000, hidden=4096, width=11008, layers=32, heads=32, max_length=2048)
    norm, bias = rms_norm(config), config.flag("attention_bias", False)
    turning = read_rotary(config, shape.head_dim, shape.max_length)
    attention = shape.attention(
        rotary=turning if config.raw("position_embedding_type") == "rope" else None,
        scale=config.number("attention_multiplier", 1.0),
        qkv_bias=bias,
        out_bias=bias,
    )
    if config.integer("num_local_experts", 8, minimum=0):
        config.problem("num_local_experts above 0: a mixture beside a shared block without a gate is not built")
    layer = LayerSpec(
        mlp=gated_mlp(config, config.integer("shared_intermediate_size", 1024)),
        attention_norm=norm,
        mlp_norm=norm,
        residual_scale=config.number("residual_multiplier", 1.0),
    )
    own = {
        FULL: replace(layer, attention=attention),
        LINEAR: replace(layer, state=hybrid_state(config, shape.hidden, epsilon=norm.epsilon)),
    }
    kinds = layer_kinds(config, shape.layers) or [LINEAR] * shape.layers
    layers = [own[kind] for kind in kinds]
    return shape.model(
        "granitemoehybrid", layers, norm, granite_head(config), granite_embedding(config, shape)
    )


NAMES = replace(
    LLAMA_NAMES,
    gate="",
    up="shared_mlp.input_linear",
    down="shared_mlp.output_linear",
    state=mamba2_names("mamba"),
)
GRANITE_HYBRID = Family(
    read,
    NAMES,
    harmless=(*ROUTER_TRAINING, "intermediate_size", "mamba_chunk_size", "num_experts_per_tok"),
    aliases={"layers_block_type": "layer_types"},
)
