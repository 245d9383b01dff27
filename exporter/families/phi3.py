"""Phi 3 and 4 mini (Abdin et al. 2024)."""

from __future__ import annotations

from dataclasses import replace

from exporter.families.family import Family
from exporter.families.llama import LLAMA_NAMES
from exporter.families.reader import ConfigReader
from exporter.families.rope import read_rotary
from exporter.families.shape import gated_mlp, read_shape, rms_norm, tied
from exporter.spec import HeadSpec, LayerSpec, ModelSpec, RopeKind


def read(config: ConfigReader) -> ModelSpec:
    """Llama's plan with fused projections, longrope and a sliding window."""
    shape = read_shape(config, vocab=32064, hidden=3072, width=8192, layers=32, heads=32, max_length=4096)
    norm = rms_norm(config, 1e-5)
    attention = shape.attention(
        rotary=read_rotary(
            config,
            shape.head_dim,
            shape.max_length,
            partial=1.0,
            original_length=4096,
            also=dict.fromkeys(("su", "yarn"), RopeKind.LONGROPE),
        ),
        window=config.optional_integer("sliding_window"),
    )
    layer = LayerSpec(attention, gated_mlp(config, shape.width), attention_norm=norm, mlp_norm=norm)
    return shape.model("phi3", [layer] * shape.layers, norm, HeadSpec(tied(config)))


PHI3 = Family(
    read,
    replace(LLAMA_NAMES, qkv=("self_attn.qkv_proj",), gate="", up="mlp.gate_up_proj"),
    harmless=("resid_pdrop",),
)
