"""What families with multi-head latent attention share (DeepSeek-AI 2024): sizes, scale, names.

Their config classes are built on DeepSeek-V2's, with its keys; ``head_dim`` and ``qk_head_dim`` follow from
others, whatever a config says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from exporter.families.llama import LLAMA_NAMES
from exporter.families.names import LatentNames
from exporter.families.reader import ConfigReader
from exporter.families.rope import flat_parameters, magnitude, read_rotary
from exporter.families.shape import Keys, Shape, read_shape
from exporter.spec import (
    AttentionSpec,
    LatentSpec,
    NormKind,
    NormSpec,
    RopeKind,
    RopeLayout,
    RotaryRounding,
    RotarySpec,
)

#: Sizes that the config classes compute themselves.
COMPUTED = ("head_dim", "qk_head_dim")

LATENT_NAMES = replace(LLAMA_NAMES, qkv=(), latent=LatentNames())

# Norms of compressed vectors have the epsilon of the reference's class, not the config's.
_NORM = NormSpec(NormKind.RMS, 1e-6, round_first=True)


def read_latent_sizes(
    config: ConfigReader,
    *,
    rank: int,
    query_rank: int | None,
    plain: int,
    rotated: int,
    value: int | None,
    **sizes: Any,
) -> tuple[Shape, LatentSpec]:
    """Sizes of a model, whose heads are as wide as their queries, and of its latent attention.

    The arguments are the family's defaults, ``sizes`` as of ``read_shape``; a ``value`` of None follows from
    the hidden size.
    """
    plain, rotated = config.integer("qk_nope_head_dim", plain), config.integer("qk_rope_head_dim", rotated)
    if rotated % 2:
        config.problem(f"qk_rope_head_dim={rotated} must be even: features turn in pairs")
    shape = read_shape(config, Keys(), head_dim=plain + rotated, **sizes)
    why = "every head of a latent attention has a key and a value of its own"
    config.expect("num_key_value_heads", shape.heads, None, why=why)
    if value is None:
        value = config.optional_integer("v_head_dim") or max(1, shape.hidden // shape.heads)
    else:
        value = config.integer("v_head_dim", value)
    return shape, LatentSpec(
        rank=config.integer("kv_lora_rank", rank),
        query_rank=config.nullable_integer("q_lora_rank", query_rank),
        plain=plain,
        rotated=rotated,
        value=value,
        norm=_NORM,
    )


def read_layout(config: ConfigReader) -> RopeLayout:
    """``rope_interleave``: pairs of neighbours turn, which the reference then leaves in another order.

    That order is the same for queries and keys, so that no product of them shows it.
    """
    interleaved = config.flag("rope_interleave", True, null=False)
    return RopeLayout.INTERLEAVED if interleaved else RopeLayout.HALVES


def read_latent_attention(
    config: ConfigReader,
    shape: Shape,
    latent: LatentSpec,
    layout: RopeLayout,
    *,
    rounding: RotaryRounding = RotaryRounding.EACH,
    also: Mapping[str, RopeKind] = MappingProxyType({}),
) -> AttentionSpec:
    """Attention whose rotary parameters are of the rotated part alone; ``also`` as of ``read_rotary``."""
    section = flat_parameters(config)
    turning = read_rotary(config, latent.rotated, shape.max_length, layout=layout, section=section, also=also)
    return latent_attention(config, shape, latent, replace(turning, rounding=rounding), section)


def latent_attention(
    config: ConfigReader, shape: Shape, latent: LatentSpec, turning: RotarySpec, section: ConfigReader
) -> AttentionSpec:
    """Attention over latents; ``section``: the rotary parameters, which have a say in the scale."""
    if turning.dim != latent.rotated:
        config.problem(
            f"rotary embedding of {turning.dim} features does not fit qk_rope_head_dim={latent.rotated}"
        )
    bias = config.flag("attention_bias", False)
    return shape.attention(
        kv_heads=1,
        head_dim=latent.width,
        scale=_scale(section, turning.kind, shape.head_dim),
        qkv_bias=bias,
        out_bias=bias,
        rotary=turning,
        latent=latent,
    )


def _scale(section: ConfigReader, kind: RopeKind, size: int) -> float:
    """``yarn_apply_mscale``: of every scaled kind, where there is a ``mscale_all_dim``."""
    every = None if kind is RopeKind.DEFAULT else section.optional_number("mscale_all_dim")
    if not every:
        return float(size**-0.5)
    temperature = magnitude(section.number("factor", positive=True), every)
    return float(size**-0.5 * temperature * temperature)
