"""LFM3 (Liquid AI 2026): LFM2 with windows, norms behind the branches, and one gate for each head."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from exporter.families.family import Family
from exporter.families.lfm2 import CONV, NAMES, lfm2_norm
from exporter.families.reader import ConfigReader
from exporter.families.rope import rotary
from exporter.families.shape import FULL, SLIDING, Shape, read_shape, tied
from exporter.families.wrapped import Wrapped
from exporter.spec import (
    Activation,
    AttentionSpec,
    HeadSpec,
    LayerSpec,
    MlpSpec,
    ModelSpec,
    RotaryRounding,
    RotarySpec,
    ShortConvSpec,
)

_ROTARY: dict[str, dict[str, Any]] = {
    SLIDING: {"rope_type": "default", "rope_theta": 10_000.0},
    FULL: {"rope_type": "proportional", "rope_theta": 1_000_000.0, "partial_rotary_factor": 0.5},
}


def read(config: ConfigReader) -> ModelSpec:
    """Short convolutions, and in some layers attention over a window or over all."""
    shape = read_shape(
        config,
        vocab=128000,
        hidden=2048,
        width=7680,
        layers=24,
        heads=16,
        kv_heads=4,
        head_dim=128,
        max_length=128000,
    )
    norm, kinds = lfm2_norm(config), _kinds(config, shape.layers)
    after = norm if config.flag("use_sandwich_norm", True) else None
    layer = LayerSpec(
        mlp=MlpSpec(shape.width, Activation.SILU, gated=True),
        attention_norm=norm,
        mlp_norm=norm,
        attention_out_norm=after,
        mlp_out_norm=after,
    )
    conv = ShortConvSpec(shape.hidden, config.integer("conv_L_cache", 7), config.flag("conv_bias", False))
    own = {CONV: replace(layer, state=conv)}
    for kind, attention in _attentions(config, shape, kinds).items():
        own[kind] = replace(layer, attention=attention)
    layers = [own[kind] for kind in kinds]
    return shape.model("lfm3", layers, norm, HeadSpec(tied(config, True)))


def _kinds(config: ConfigReader, layers: int) -> list[str]:
    types = config.choices("layer_types", (FULL, SLIDING, CONV), layers)
    if types is not None:
        return types
    return [
        FULL if layer % 4 == 2 else SLIDING if layer % 4 == 0 and layer > 0 else CONV
        for layer in range(layers)
    ]


def _attentions(config: ConfigReader, shape: Shape, kinds: list[str]) -> dict[str, AttentionSpec]:
    """Of the kinds that there are."""
    window = config.nullable_integer("sliding_window", 256)
    if SLIDING in kinds and window is None:
        config.problem(f"layer_types has {SLIDING!r}, but there is no sliding_window")
    bias, gated = config.flag("attention_bias", False), config.flag("use_attention_gate", True)
    attention = shape.attention(
        qk_norm=lfm2_norm(config), qkv_bias=bias, out_bias=bias, gated=gated, gate_by_head=gated
    )
    given = config.section("rope_parameters") if config.mapping("rope_parameters") else None
    return {
        kind: replace(
            attention,
            rotary=_rotary(config, given, shape, kind),
            window=window if kind == SLIDING else None,
        )
        for kind in (FULL, SLIDING)
        if kind in kinds
    }


def _rotary(config: ConfigReader, given: ConfigReader | None, shape: Shape, kind: str) -> RotarySpec:
    """That of layers of a kind, which must be told where any is; cosines and sines stay in float32."""
    parameters = _ROTARY[kind] if given is None else given.mapping(kind)
    if not parameters:
        whole = config.raw("rope_parameters")
        config.wrong("rope_parameters", whole, f"must hold an object for {kind!r}")
    section = config.rope(f"rope_parameters.{kind}", parameters)
    theta = config.number("rope_theta", 1_000_000.0, positive=True)
    found = rotary(config, section, shape.head_dim, shape.max_length, theta=theta)
    return replace(found, rounding=RotaryRounding.SUM)


_RENAMES = ((r"\.self_attn\.gate_proj\.", ".self_attn.g_proj."),)
LFM3 = Family(
    read,
    replace(
        NAMES,
        out="self_attn.o_proj",
        q_norm="self_attn.q_norm",
        k_norm="self_attn.k_norm",
        attention_gate="self_attn.g_proj",
        attention_out_norm="post_operator_norm",
        mlp_out_norm="post_ffn_norm",
        renames=_RENAMES,
    ),
    aliases={"rms_norm_eps": "norm_eps"},
)
LFM3_VL = Wrapped(
    "lfm3_vl",
    {"lfm3": LFM3},
    keys=(
        "image_token_id",
        "projector_bias",
        "projector_hidden_act",
        "projector_hidden_size",
        "video_token_id",
        "vision_config",
    ),
    renames=_RENAMES,
).family()
