"""GPT-NeoX Japanese (ABEJA 2022)."""

from __future__ import annotations

from dataclasses import replace

from exporter.families.family import Family
from exporter.families.gpt_neox import GPT_NEOX_NAMES
from exporter.families.reader import ConfigReader
from exporter.families.rope import read_rotary
from exporter.families.shape import Keys, layer_norm, plain_mlp, read_shape, tied
from exporter.spec import HeadSpec, LayerSpec, ModelSpec


def read(config: ConfigReader) -> ModelSpec:
    """LayerNorm, rotary positions, no biases but one behind the last layer's attention."""
    shape = read_shape(config, Keys(width=""), vocab=32000, hidden=2560, layers=32, heads=32, max_length=2048)
    config.expect("head_dim", None, why="the reference's attention derives it")
    norm, width = layer_norm(config), shape.hidden * config.integer("intermediate_multiple_size", 4)
    rotary = read_rotary(
        config,
        shape.head_dim,
        shape.max_length,
        theta_key="rotary_emb_base",
        partial=1.0,
        partial_key="rotary_pct",
    )
    mlp = plain_mlp(config, width, "gelu", "hidden_act", bias=False)
    attention = shape.attention(rotary=rotary)
    layer = LayerSpec(attention, mlp, attention_norm=norm, mlp_norm=norm)
    last = replace(layer, attention=replace(attention, out_bias=True))
    layers = [*[layer] * (shape.layers - 1), last]
    return shape.model("gpt_neox_japanese", layers, norm, HeadSpec(tied(config, True)))


GPT_NEOX_JAPANESE = Family(
    read,
    replace(
        GPT_NEOX_NAMES,
        prefix="gpt_neox_japanese.",
        head="embed_out",
        renames=((r"\.attention\.dense_bias$", ".attention.dense.bias"),),
    ),
    harmless=("hidden_dropout", "rope_theta", "partial_rotary_factor"),
)
