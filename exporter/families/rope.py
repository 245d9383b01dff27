"""Rotary parameters: version 5 has ``rope_parameters``, version 4 ``rope_theta`` and ``rope_scaling``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from exporter.families.reader import ConfigReader
from exporter.spec import RopeKind, RopeLayout, RotarySpec

KINDS = {kind.value: kind for kind in RopeKind}

# What the reference knows in rope_parameters; a kind ignores what is not its own.
KNOWN = frozenset(
    """
    attention_factor beta_fast beta_slow factor finetuned high_freq_factor long_factor low_freq_factor mscale
    mscale_all_dim original_max_position_embeddings partial_rotary_factor rope_theta rope_type short_factor
    truncate type
    """.split()  # noqa: SIM905
)


def read_rotary(
    config: ConfigReader,
    head_dim: int,
    max_length: int,
    *,
    theta: float = 10_000.0,
    theta_key: str = "rope_theta",
    partial: float | None = None,
    partial_key: str = "partial_rotary_factor",
    layout: RopeLayout = RopeLayout.HALVES,
    original_length: int | None = None,
    also_longrope: tuple[str, ...] = (),
) -> RotarySpec:
    """The one rotary embedding of a model.

    Args:
      theta, partial: defaults of the family; a ``partial`` of None means that its heads turn whole.
      original_length: the family's default of a top-level original_max_position_embeddings.
      also_longrope: other names by which the family calls longrope.
    """
    parameters = dict(config.raw("rope_scaling") or {}) or dict(config.raw("rope_parameters") or {})
    parameters.setdefault("rope_theta", config.number(theta_key, theta))
    if parameters["rope_theta"] is None:
        parameters["rope_theta"] = theta
    if config.has(partial_key) or partial is not None:
        parameters.setdefault("partial_rotary_factor", config.number(partial_key, partial or 1.0))
    if (parameters.get("rope_type") or parameters.get("type")) in also_longrope:
        parameters["rope_type"] = RopeKind.LONGROPE.value
    top_level = config.optional_integer("original_max_position_embeddings", original_length)
    if top_level is not None:
        parameters["original_max_position_embeddings"] = top_level
    return rotary(config, parameters, head_dim, max_length, layout=layout, whole=partial is None)


def rotary(
    config: ConfigReader,
    parameters: Mapping[str, Any],
    head_dim: int,
    max_length: int,
    *,
    layout: RopeLayout = RopeLayout.HALVES,
    whole: bool = True,
) -> RotarySpec:
    """One flat dictionary of rope parameters as a spec."""
    for key in sorted(set(parameters) - KNOWN):
        config.problem(f"rope_parameters.{key}={parameters[key]!r} is not supported")
    name = parameters.get("rope_type") or parameters.get("type") or "default"
    if name not in KINDS:
        config.problem(f"rope_parameters.rope_type={name!r} is not supported; known are {', '.join(KINDS)}")
        name = "default"
    part = float(parameters.get("partial_rotary_factor") or 1.0)
    if whole and part != 1.0:
        config.problem(f"partial_rotary_factor={part} is not supported: this family turns whole heads")
    dim, kind = int(head_dim * part), KINDS[name]
    common = RotarySpec(dim, float(parameters["rope_theta"]), kind, layout, max_length=max_length)
    try:
        return _scaled(common, parameters)
    except (KeyError, TypeError, ValueError) as error:
        config.problem(f"rope_parameters of type {name!r} lack or spoil {error}")
        return common


def _scaled(common: RotarySpec, parameters: Mapping[str, Any]) -> RotarySpec:
    """Adds what the kind of scaling needs; raises KeyError for a missing parameter."""
    if common.kind is RopeKind.DEFAULT:
        return replace(common, max_length=0)
    original = int(parameters.get("original_max_position_embeddings") or common.max_length)
    if common.kind is RopeKind.LONGROPE:
        return _longrope(replace(common, original_length=original), parameters)
    if common.kind is RopeKind.YARN:
        return _yarn(replace(common, original_length=original), parameters)
    common = replace(common, factor=float(parameters["factor"]))
    if common.kind is RopeKind.LLAMA3:
        return replace(
            common,
            original_length=original,
            max_length=0,
            low_freq_factor=float(parameters["low_freq_factor"]),
            high_freq_factor=float(parameters["high_freq_factor"]),
        )
    return common if common.kind is RopeKind.DYNAMIC else replace(common, max_length=0)


def _longrope(common: RotarySpec, parameters: Mapping[str, Any]) -> RotarySpec:
    factors = {
        key: tuple(float(factor) for factor in parameters[key]) for key in ("short_factor", "long_factor")
    }
    if any(len(values) != common.dim // 2 for values in factors.values()):
        raise ValueError(f"short_factor and long_factor, which must have {common.dim // 2} numbers")
    factor = parameters.get("factor") or common.max_length / common.original_length
    attention_factor = parameters.get("attention_factor")
    if attention_factor is None:
        growth = math.log(factor) / math.log(common.original_length) if factor > 1.0 else 0.0
        attention_factor = math.sqrt(1 + growth)
    return replace(
        common,
        max_length=0,
        attention_factor=float(attention_factor),
        short_factors=factors["short_factor"],
        long_factors=factors["long_factor"],
    )


def _yarn(common: RotarySpec, parameters: Mapping[str, Any]) -> RotarySpec:
    factor = float(parameters.get("factor") or common.max_length / common.original_length)
    attention_factor = parameters.get("attention_factor")
    if attention_factor is None:
        mscale, all_dim = parameters.get("mscale"), parameters.get("mscale_all_dim")
        attention_factor = (
            _magnitude(factor, mscale) / _magnitude(factor, all_dim)
            if mscale and all_dim
            else _magnitude(factor)
        )
    return replace(
        common,
        max_length=0,
        factor=factor,
        attention_factor=float(attention_factor),
        beta_fast=float(parameters.get("beta_fast") or 32),
        beta_slow=float(parameters.get("beta_slow") or 1),
        truncate=bool(parameters.get("truncate", True)),
    )


def _magnitude(factor: float, mscale: float = 1.0) -> float:
    """YaRN's attention temperature."""
    return 1.0 if factor <= 1 else 0.1 * mscale * math.log(factor) + 1.0
