"""Phi 3 and 4 mini (Abdin et al. 2024), and the text of Phi 4 multimodal (2025)."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from exporter.families.family import Family
from exporter.families.llama import LLAMA_NAMES
from exporter.families.reader import ConfigReader
from exporter.families.rope import read_rotary
from exporter.families.shape import LLAMA_KEYS, gated_mlp, read_shape, rms_norm, tied
from exporter.spec import HeadSpec, LayerSpec, ModelSpec, RopeKind

SIZES = {"vocab": 32064, "hidden": 3072, "width": 8192, "layers": 32, "heads": 32, "max_length": 4096}


def read(config: ConfigReader, model_type: str = "phi3", **sizes: int) -> ModelSpec:
    """Llama's plan with fused projections, longrope and a sliding window; ``sizes`` as of ``read_shape``."""
    shape = read_shape(config, LLAMA_KEYS, **{**SIZES, **sizes})
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
    return shape.model(model_type, [layer] * shape.layers, norm, HeadSpec(tied(config)))


NAMES = replace(LLAMA_NAMES, qkv=("self_attn.qkv_proj",), gate="", up="mlp.gate_up_proj")
PHI3 = Family(read, NAMES, harmless=("resid_pdrop",))
#: Its adapters of images and sound are files of their own; text alone passes by them and by the encoders.
PHI4_MULTIMODAL = Family(
    partial(read, model_type="phi4_multimodal", vocab=200064, kv_heads=8, max_length=131072),
    replace(NAMES, towers=("embed_tokens_extend",)),
    harmless=("audio_config", "embd_pdrop", "resid_pdrop", "vision_config"),
)
