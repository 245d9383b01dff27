"""Cosmos 3 (NVIDIA 2026): the text models of Omni, which is Qwen3-VL's, and of Edge.

Positions of text are the same on all three axes, so that they turn as plain rotary positions do.
"""

from __future__ import annotations

from dataclasses import replace

from exporter.families.family import Family
from exporter.families.nemotron import PLAIN_NAMES
from exporter.families.qwen_vl import THIRD
from exporter.families.reader import ConfigReader
from exporter.families.rope import flat_parameters, rotary
from exporter.families.shape import plain_mlp, read_shape, rms_norm, tied
from exporter.families.wrapped import Ties, Wrapped
from exporter.spec import HeadSpec, LayerSpec, ModelSpec, RopeKind


def read_edge(config: ConfigReader) -> ModelSpec:
    """RMS norms, and plain blocks of squared relu."""
    shape = read_shape(
        config,
        vocab=131072,
        hidden=2048,
        width=9216,
        layers=28,
        heads=16,
        kv_heads=8,
        head_dim=128,
        max_length=131072,
    )
    norm, bias = rms_norm(config, 1e-5), config.flag("attention_bias", False)
    turning = rotary(
        config,
        flat_parameters(config),
        shape.head_dim,
        shape.max_length,
        theta=config.number("rope_theta", 100_000_000.0, positive=True),
        kinds={"default": RopeKind.DEFAULT},
    )
    attention = shape.attention(rotary=turning, qkv_bias=bias, out_bias=bias)
    mlp = plain_mlp(config, shape.width, "relu2", "hidden_act", bias=config.flag("mlp_bias", False))
    layer = LayerSpec(attention, mlp, attention_norm=norm, mlp_norm=norm)
    return shape.model("cosmos3_edge", [layer] * shape.layers, norm, HeadSpec(tied(config)))


_KEYS = ("image_token_id", "video_token_id", "vision_config")
# As they are published: the text model without a prefix, with other names of its projections.
_TEXT = (r"^(layers\.|embed_tokens\.|norm\.)", r"model.language_model.\1")
_ATTENTION = (
    *((rf"\.self_attn\.to_{part}\.", f".self_attn.{part}_proj.") for part in "qkv"),
    (r"\.self_attn\.to_out\.", ".self_attn.o_proj."),
)
COSMOS3_EDGE = Wrapped(
    "cosmos3_edge",
    {"cosmos3_edge_text": Family(read_edge, replace(PLAIN_NAMES, up="mlp.fc1", down="mlp.fc2"))},
    own=True,
    keys=(*_KEYS, "projector_hidden_size"),
    ties=Ties.NEVER,
    renames=(_TEXT, *_ATTENTION, (r"\.mlp\.up_proj\.", ".mlp.fc1."), (r"\.mlp\.down_proj\.", ".mlp.fc2.")),
).family()
COSMOS3_OMNI = Wrapped(
    "cosmos3_omni",
    {"qwen3_vl_text": THIRD},
    homes={"qwen3_vl_text": "qwen3_vl"},
    keys=_KEYS,
    tied=False,
    renames=(
        _TEXT,
        (r"^(blocks\.|merger\.|patch_embed\.|pos_embed\.|deepstack_merger_list\.)", r"model.visual.\1"),
        *_ATTENTION,
        *((rf"\.self_attn\.norm_{part}\.", f".self_attn.{part}_norm.") for part in "qk"),
    ),
).family()
