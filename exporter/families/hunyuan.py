"""Hunyuan, dense, and the text model of HunyuanOCR (Tencent 2025)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from exporter.families.family import Family
from exporter.families.llama import LLAMA_NAMES
from exporter.families.reader import ConfigReader
from exporter.families.rope import KINDS, flat_parameters, rotary
from exporter.families.shape import Shape, gated_mlp, read_shape, rms_norm, tied
from exporter.families.wrapped import Ties, Wrapped
from exporter.spec import AttentionSpec, HeadSpec, LayerSpec, ModelSpec, RopeKind, RotarySpec


def read(config: ConfigReader, kinds: Mapping[str, RopeKind] = KINDS) -> ModelSpec:
    """Llama's plan with query and key norms behind the rotation; ``kinds`` are names of rope_type."""
    shape = read_shape(config, vocab=290943, hidden=4096, width=11008, layers=32, heads=32, max_length=2048)
    norm, attention = rms_norm(config, 1e-5), read_hunyuan_attention(config, shape, kinds)
    layer = LayerSpec(attention, gated_mlp(config, shape.width), attention_norm=norm, mlp_norm=norm)
    return shape.model("hunyuan_v1_dense", [layer] * shape.layers, norm, HeadSpec(tied(config)))


def read_vl(config: ConfigReader) -> ModelSpec:
    """Positions of text are the same on all axes, so that heads turn as by plain rotary positions."""
    given = config.mapping("rope_scaling") or config.mapping("rope_parameters")
    if not (given.get("mrope_section") or given.get("xdrope_section")):
        config.problem("rope_parameters must hold an mrope_section: the reference has no default")
    return read(config, {**KINDS, "xdrope": RopeKind.DYNAMIC})


def read_hunyuan_attention(
    config: ConfigReader, shape: Shape, kinds: Mapping[str, RopeKind] = KINDS
) -> AttentionSpec:
    """Every head is normalised after it is turned."""
    norm, bias = rms_norm(config, 1e-5), config.flag("attention_bias", False)
    turning = _rotary(config, shape, kinds)
    return shape.attention(rotary=turning, qk_norm=norm, qk_norm_last=True, qkv_bias=bias, out_bias=bias)


def _rotary(config: ConfigReader, shape: Shape, kinds: Mapping[str, RopeKind]) -> RotarySpec:
    """Of "dynamic" parameters an ``alpha`` alone counts: it widens the base, whatever the length."""
    theta = config.number("rope_theta", 10_000.0, positive=True)
    parameters = flat_parameters(config)
    alpha = parameters.optional_number("alpha", positive=True) if parameters.raw("alpha") else None
    turning = rotary(config, parameters, shape.head_dim, shape.max_length, theta=theta, kinds=kinds)
    if turning.kind is not RopeKind.DYNAMIC or alpha is None:
        return turning
    if turning.dim <= 2 or alpha > _MOST:
        parameters.problem(f"alpha={alpha} must be at most {_MOST}, with heads of more than two features")
        return turning
    return RotarySpec(turning.dim, turning.theta * alpha ** (turning.dim / (turning.dim - 2)))


_MOST = 1e9
NAMES = replace(LLAMA_NAMES, q_norm="self_attn.query_layernorm", k_norm="self_attn.key_layernorm")
HUNYUAN = Family(read, NAMES)
_ALIASES = {"attention_head_dim": "head_dim", "org_vocab_size": "vocab_size"}
HUNYUAN_VL = Wrapped(
    "hunyuan_vl",
    {"hunyuan_vl_text": Family(read_vl, NAMES, aliases=_ALIASES)},
    own=True,
    flat=True,
    ties=Ties.EITHER,
    text_tied=True,
    renames=(
        (r"^model(?!\.(language_model|vit|vision_tower))", "model.language_model"),
        (r"^model\.vit", "model.vision_tower"),
        (r"^vit", "model.vision_tower"),
    ),
    aliases=_ALIASES,
).family()
