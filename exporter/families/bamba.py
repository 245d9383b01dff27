"""Bamba (IBM, Princeton, UIUC 2024): Mamba 2 states, and attention in the layers that are named."""

from __future__ import annotations

from dataclasses import replace

from exporter.families.family import Family
from exporter.families.llama import LLAMA_NAMES
from exporter.families.mamba2 import gated_norm, hybrid_state, mamba2_names
from exporter.families.reader import ConfigReader
from exporter.families.rope import read_rotary
from exporter.families.shape import gated_mlp, read_shape, rms_norm, tied
from exporter.spec import HeadSpec, LayerSpec, ModelSpec


def read(config: ConfigReader) -> ModelSpec:
    """Half of each attention head turns."""
    shape = read_shape(
        config,
        vocab=128000,
        hidden=4096,
        width=14336,
        layers=32,
        heads=32,
        kv_heads=8,
        max_length=262144,
    )
    norm, bias = rms_norm(config, 1e-5), config.flag("attention_bias", False)
    # The reference overwrites partial_rotary_factor outside of rope_parameters.
    turning = read_rotary(config, shape.head_dim, shape.max_length, partial=0.5, partial_key="")
    attention = shape.attention(rotary=turning, qkv_bias=bias, out_bias=bias)
    state = hybrid_state(config, shape.hidden, gated_norm(norm.epsilon))
    mlp = gated_mlp(config, shape.width, bias=config.flag("mlp_bias", False))
    attending = config.choices("attn_layer_indices", range(shape.layers), 0, more=True) or []
    layer = LayerSpec(mlp=mlp, attention_norm=norm, mlp_norm=norm)
    attends, carries = replace(layer, attention=attention), replace(layer, state=state)
    layers = [attends if index in attending else carries for index in range(shape.layers)]
    return shape.model("bamba", layers, norm, HeadSpec(tied(config)))


BAMBA_NAMES = replace(
    LLAMA_NAMES,
    mlp_norm="pre_ff_layernorm",
    gate="feed_forward.gate_proj",
    up="feed_forward.up_proj",
    down="feed_forward.down_proj",
    final_norm="final_layernorm",
    state=mamba2_names("mamba"),
)
# Of training; of the reference's generate; of the sizes of chunks; and what is worked out anew.
HARMLESS = (
    "layers_block_type",
    "mamba_chunk_size",
    "num_logits_to_keep",
    "partial_rotary_factor",
    "z_loss_coefficient",
)
BAMBA = Family(read, BAMBA_NAMES, harmless=HARMLESS, aliases={"layer_types": "layers_block_type"})
