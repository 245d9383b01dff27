"""OLMo (Groeneveld et al. 2024) and OLMo 2 (2025)."""

from __future__ import annotations

from dataclasses import replace

from exporter.families.family import Family
from exporter.families.llama import LLAMA_NAMES
from exporter.families.reader import ConfigReader
from exporter.families.rope import read_rotary
from exporter.families.shape import Shape, gated_mlp, read_shape, rms_norm, tied
from exporter.spec import (
    AttentionSpec,
    HeadSpec,
    LayerSpec,
    ModelSpec,
    MoeSpec,
    NormKind,
    NormSpec,
    QkNormScope,
    RotaryRounding,
    RotarySpec,
)


def read_olmo(config: ConfigReader) -> ModelSpec:
    """Llama with norms that have no weights."""
    shape, norm = olmo_shape(config), NormSpec(NormKind.LAYER, 1e-5, scale=False)
    turning = read_rotary(config, shape.head_dim, shape.max_length)
    attention = replace(olmo_attention(config, shape, turning), clip=config.optional_number("clip_qkv"))
    layer = LayerSpec(attention, gated_mlp(config, shape.width), attention_norm=norm, mlp_norm=norm)
    return shape.model("olmo", [layer] * shape.layers, norm, HeadSpec(tied(config)))


def read_olmo2(config: ConfigReader) -> ModelSpec:
    """Norms after the branches instead of before them, and over all of query and key."""
    shape = olmo_shape(config)
    attention = olmo_attention(config, shape, read_rotary(config, shape.head_dim, shape.max_length))
    return normed_after(config, "olmo2", shape, [attention] * shape.layers)


def olmo_shape(config: ConfigReader) -> Shape:
    return read_shape(config, vocab=50304, hidden=4096, width=11008, layers=32, heads=32, max_length=2048)


def olmo_attention(config: ConfigReader, shape: Shape, turning: RotarySpec) -> AttentionSpec:
    bias = config.flag("attention_bias", False)
    turning = replace(turning, rounding=RotaryRounding.SUM)
    return shape.attention(rotary=turning, qkv_bias=bias, out_bias=bias)


def normed_after(
    config: ConfigReader,
    model_type: str,
    shape: Shape,
    attentions: list[AttentionSpec],
    mixture: MoeSpec | None = None,
    epsilon: float = 1e-5,
) -> ModelSpec:
    """Norms after the branches, of which one may be a mixture; ``epsilon`` is the family's default."""
    norm = replace(rms_norm(config, epsilon), round_first=False)
    mlp = mixture or gated_mlp(config, shape.width)
    layers = [
        LayerSpec(
            replace(attention, qk_norm=norm, qk_norm_scope=QkNormScope.ALL),
            mlp,
            attention_out_norm=norm,
            mlp_out_norm=norm,
        )
        for attention in attentions
    ]
    return shape.model(model_type, layers, norm, HeadSpec(tied(config)))


OLMO2_NAMES = replace(
    LLAMA_NAMES,
    attention_out_norm="post_attention_layernorm",
    mlp_out_norm="post_feedforward_layernorm",
    q_norm="self_attn.q_norm",
    k_norm="self_attn.k_norm",
)

OLMO = Family(read_olmo, LLAMA_NAMES)
OLMO2 = Family(read_olmo2, OLMO2_NAMES)
