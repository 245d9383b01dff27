"""Qwen2-VL to Qwen3-VL (Qwen Team 2024, 2025): their text models.

Positions of text are the same on all three axes, so that "mrope" turns as plain rotary positions do.
"""

from __future__ import annotations

from dataclasses import replace

from exporter.families.experts import ROUTER_TRAINING, gated_experts, read_mixture
from exporter.families.family import Family
from exporter.families.llama import LLAMA_NAMES, NORMED_NAMES
from exporter.families.names import Experts
from exporter.families.qwen import last_windows
from exporter.families.qwen_moe import sparse_layers
from exporter.families.reader import ConfigReader
from exporter.families.rope import KINDS, flat_parameters, rotary
from exporter.families.shape import Keys, Shape, gated_mlp, read_shape, rms_norm, tied
from exporter.families.wrapped import Ties, Wrapped
from exporter.spec import AttentionSpec, HeadSpec, LayerSpec, ModelSpec, RopeKind, RotarySpec, RouterSpec

_KINDS = {**KINDS, "mrope": RopeKind.DEFAULT}


def read_second(config: ConfigReader) -> ModelSpec:
    """Qwen2: query, key and value biases; the last layers may be windowed."""
    shape = read_shape(
        config,
        Keys(kv_heads="num_key_value_heads"),
        vocab=152064,
        hidden=8192,
        width=29568,
        layers=80,
        heads=64,
        kv_heads=8,
        max_length=32768,
    )
    rotary = _rotary(config, shape, 1_000_000.0)
    return biased(config, "qwen2_vl", shape, rotary, epsilon=1e-5, first=80)


def biased(
    config: ConfigReader, model_type: str, shape: Shape, rotary: RotarySpec, *, epsilon: float, first: int
) -> ModelSpec:
    """Qwen2 with these positions; ``epsilon`` and ``first``, the first windowed layer, are defaults."""
    norm, windows = rms_norm(config, epsilon), last_windows(config, shape.layers, first)
    attention = shape.attention(rotary=rotary, qkv_bias=True)
    layer = LayerSpec(attention, gated_mlp(config, shape.width), attention_norm=norm, mlp_norm=norm)
    layers = [replace(layer, attention=replace(attention, window=size)) for size in windows]
    return shape.model(model_type, layers, norm, HeadSpec(tied(config)))


def read_third(config: ConfigReader) -> ModelSpec:
    """Qwen3: query and key norms."""
    shape = read_shape(
        config,
        vocab=151936,
        hidden=4096,
        width=22016,
        layers=32,
        heads=32,
        kv_heads=32,
        head_dim=128,
        max_length=128000,
    )
    norm = rms_norm(config)
    layer = LayerSpec(
        _attention(config, shape), gated_mlp(config, shape.width), attention_norm=norm, mlp_norm=norm
    )
    return shape.model("qwen3_vl", [layer] * shape.layers, norm, HeadSpec(tied(config)))


def read_moe(config: ConfigReader) -> ModelSpec:
    """Qwen3 with mixtures, whose experts' weights add up to one."""
    shape = read_shape(
        config,
        vocab=151936,
        hidden=2048,
        width=5632,
        layers=24,
        heads=16,
        kv_heads=16,
        max_length=128000,
    )
    mixture = read_mixture(
        config,
        gated_mlp(config, config.integer("moe_intermediate_size", 1408)),
        experts=config.integer("num_experts", 60),
        top_k=4,
        router=RouterSpec(normalise=True),
    )
    return sparse_layers(config, "qwen3_vl_moe", shape, [_attention(config, shape)] * shape.layers, mixture)


def _attention(config: ConfigReader, shape: Shape) -> AttentionSpec:
    bias = config.flag("attention_bias", False)
    return shape.attention(
        rotary=_rotary(config, shape, 500_000.0), qk_norm=rms_norm(config), qkv_bias=bias, out_bias=bias
    )


def _rotary(config: ConfigReader, shape: Shape, theta: float) -> RotarySpec:
    theta = config.number("rope_theta", theta, positive=True)
    sizes = (shape.head_dim, shape.max_length)
    return rotary(config, flat_parameters(config), *sizes, theta=theta, kinds=_KINDS)


_MOE = gated_experts(NORMED_NAMES).joined
assert _MOE is not None
_KEYS = ("image_token_id", "video_token_id", "vision_config")
_OLD = ((r"^visual", "model.visual"), (r"^model(?!\.(language_model|visual))", "model.language_model"))


def _wrapped(model_type: str, text: Family, flat: bool) -> Family:
    return Wrapped(
        model_type,
        {f"{model_type}_text": text},
        own=True,
        keys=_KEYS,
        flat=flat,
        tied=False,
        ties=Ties.EITHER if flat else Ties.OUTER,
        renames=_OLD if flat else (),
    ).family()


_SECOND = Family(read_second, LLAMA_NAMES)
QWEN2_VL = _wrapped("qwen2_vl", _SECOND, True)
QWEN2_5_VL = _wrapped("qwen2_5_vl", _SECOND, True)
THIRD = Family(read_third, NORMED_NAMES)
QWEN3_VL = _wrapped("qwen3_vl", THIRD, False)
_MOE_TEXT = Family(
    read_moe,
    replace(_MOE, expert_layout=Experts.HALVES, experts_either_way=True),
    harmless=ROUTER_TRAINING,
    aliases={"num_local_experts": "num_experts"},
)
QWEN3_VL_MOE = _wrapped("qwen3_vl_moe", _MOE_TEXT, False)
