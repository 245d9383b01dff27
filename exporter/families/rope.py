"""Rotary parameters: version 5 has ``rope_parameters``, version 4 ``rope_theta`` and ``rope_scaling``.

As in the reference (``RotaryEmbeddingConfigMixin.convert_rope_params_to_dict``) a ``rope_scaling`` goes
before ``rope_parameters``, which are then not looked at.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from exporter.families.reader import ConfigReader
from exporter.families.shape import FULL, SLIDING, Shape
from exporter.spec import RopeKind, RopeLayout, RotarySpec

KINDS = {kind.value: kind for kind in RopeKind}


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
    also: Mapping[str, RopeKind] = MappingProxyType({}),
    section: ConfigReader | None = None,
) -> RotarySpec:
    """The one rotary embedding of a model.

    Args:
      theta, partial: defaults of the family; a ``partial`` of None means that its heads turn whole.
      partial_key: "" where only the rope parameters may say otherwise.
      original_length: the family's default of a top-level original_max_position_embeddings.
      also: other names of kinds.
      section: the parameters, where they are looked at besides.
    """
    part = config.optional_number(partial_key, partial) if partial_key else partial
    return rotary(
        config,
        flat_parameters(config) if section is None else section,
        head_dim,
        max_length,
        theta=config.number(theta_key, theta, positive=True),
        part=1.0 if part is None else part,
        layout=layout,
        whole=partial is None,
        original_length=config.optional_integer("original_max_position_embeddings", original_length),
        kinds={**KINDS, **also},
    )


def flat_parameters(config: ConfigReader, default: Mapping[str, Any] | None = None) -> ConfigReader:
    """The rotary parameters that count, by their names; ``default`` where there are none.

    Parameters of one layer type each are another family's, and a problem.
    """
    scaling, parameters = old_scaling(config), config.mapping("rope_parameters")
    if scaling and parameters:
        config.unread("rope_parameters")
    name = "rope_scaling" if scaling else "rope_parameters"
    found = scaling or parameters or default or {}
    section = config.rope(name, found)
    for key in (FULL, SLIDING):
        if section.mapping(key):
            section.wrong(key, found[key], "is not supported: this model_type has one set of parameters")
    return section


def nested_rotaries(
    config: ConfigReader,
    shape: Shape,
    *,
    local: float,
    overall: float,
    part: float | None = None,
    old: bool = True,
) -> tuple[RotarySpec, RotarySpec]:
    """Of windowed layers and of the others, whose bases are these where they have none of their own.

    Args:
      part: the family's default of partial_rotary_factor; None: heads turn whole.
      old: ``rope_scaling`` of version 4 adds to the parameters of the others; else it is not looked at.
    """
    whole, nested = config.mapping("rope_parameters"), config.section("rope_parameters")
    if whole and not {FULL, SLIDING} & whole.keys():
        config.wrong("rope_parameters", whole, f"must hold an object for {FULL!r} and for {SLIDING!r}")
        nested.harmless(*whole)
    parts = {key: nested.mapping(key) for key in (SLIDING, FULL)}
    scaling = old_scaling(config) if old else {}
    if not old and config.raw("rope_scaling"):
        config.unread("rope_scaling")
    sliding = config.rope(f"rope_parameters.{SLIDING}", parts[SLIDING])
    name = "rope_scaling" if scaling else f"rope_parameters.{FULL}"
    # Where there are no parameters yet, they get a rope_type before rope_scaling, with its "type", is added.
    full = config.rope(name, {**({} if whole else {"rope_type": "default"}), **parts[FULL], **scaling})

    def turning(section: ConfigReader, theta: float) -> RotarySpec:
        plain = section.raw("rope_type", "default") == "default"
        turned = part if part is not None and plain else 1.0
        sizes = (shape.head_dim, shape.max_length)
        return rotary(config, section, *sizes, theta=theta, part=turned, whole=part is None)

    return turning(sliding, local), turning(full, overall)


def old_scaling(config: ConfigReader) -> dict[str, Any]:
    """``rope_scaling``, which is off where it is false, 0 or empty."""
    return config.mapping("rope_scaling") if config.raw("rope_scaling") else {}


def rotary(
    config: ConfigReader,
    section: ConfigReader,
    head_dim: int,
    max_length: int,
    *,
    theta: float,
    part: float = 1.0,
    layout: RopeLayout = RopeLayout.HALVES,
    whole: bool = True,
    original_length: int | None = None,
    kinds: Mapping[str, RopeKind] = KINDS,
) -> RotarySpec:
    """One flat object of rope parameters as a spec.

    Args:
      theta, part: what counts where the object lacks rope_theta or partial_rotary_factor.
      original_length: replaces the object's original_max_position_embeddings.
      kinds: names of rope_type.
    """
    kind, part = _kind(section, kinds), _part(section, part)
    if whole and kind is RopeKind.DEFAULT:
        part = 1.0  # where heads turn whole, only the scaled kinds look at it
    elif whole and part != 1.0 and kind is not RopeKind.PROPORTIONAL:
        config.problem(f"partial_rotary_factor={part} is not supported: this family turns whole heads")
    theta = section.number("rope_theta", theta, positive=True)
    if kind is RopeKind.PROPORTIONAL:
        return _proportional(RotarySpec(head_dim, theta, kind, layout), section, part)
    common = RotarySpec(int(head_dim * part), theta, kind, layout, max_length=max_length)
    if kind is not RopeKind.DEFAULT:
        own = section.optional_integer("original_max_position_embeddings", max_length)
        common = _SCALED[kind](replace(common, original_length=original_length or own or 1), section)
    section.rest_is_harmless()  # a kind takes no notice of the parameters of others
    return common if kind is RopeKind.DYNAMIC else replace(common, max_length=0)


def _part(section: ConfigReader, default: float) -> float:
    part = section.number("partial_rotary_factor", default, positive=True)
    if part > 1.0:
        section.problem(f"partial_rotary_factor={part} must be at most 1")
    return min(part, 1.0)


def _kind(section: ConfigReader, kinds: Mapping[str, RopeKind]) -> RopeKind:
    """``rope_type``, or ``type`` as version 4 called it."""
    section.raw("type")
    return section.choice("rope_type" if section.has("rope_type") else "type", kinds, "default")


def _factor(common: RotarySpec, section: ConfigReader) -> RotarySpec:
    return replace(common, factor=section.number("factor", positive=True), original_length=0)


def _proportional(common: RotarySpec, section: ConfigReader, part: float) -> RotarySpec:
    """The last pairs of a whole head do not turn."""
    turned = int(part * common.dim // 2)
    factor = section.number("factor", 1.0, positive=True)
    section.rest_is_harmless()
    return replace(common, factor=factor, still=common.dim // 2 - turned)


def _llama3(common: RotarySpec, section: ConfigReader) -> RotarySpec:
    low, high = (section.number(f"{name}_freq_factor", positive=True) for name in ("low", "high"))
    if low == high:
        section.problem(f"low_freq_factor={low} must differ from high_freq_factor")
    return replace(
        common,
        factor=section.number("factor", positive=True),
        low_freq_factor=low,
        high_freq_factor=high,
    )


def _longrope(common: RotarySpec, section: ConfigReader) -> RotarySpec:
    short, long = (section.numbers(f"{name}_factor", common.dim // 2) for name in ("short", "long"))
    return replace(
        common,
        attention_factor=_longrope_temperature(common, section),
        short_factors=short,
        long_factors=long,
    )


def _longrope_temperature(common: RotarySpec, section: ConfigReader) -> float:
    factor = section.optional_number("factor") or common.max_length / common.original_length
    given = section.optional_number("attention_factor")
    if given is not None or factor <= 1.0:
        return 1.0 if given is None else given
    if common.original_length == 1:
        section.problem("original_max_position_embeddings=1 must be above 1")
        return 1.0
    return math.sqrt(1 + math.log(factor) / math.log(common.original_length))


def _yarn(common: RotarySpec, section: ConfigReader) -> RotarySpec:
    factor = section.optional_number("factor", positive=True) or common.max_length / common.original_length
    mscale, all_dim = section.optional_number("mscale"), section.optional_number("mscale_all_dim")
    inferred = magnitude(factor)
    if mscale and all_dim:
        divisor = magnitude(factor, all_dim)
        if divisor == 0.0:
            section.wrong("mscale_all_dim", all_dim, "divides by zero")
        inferred = magnitude(factor, mscale) / (divisor or 1.0)
    given = section.optional_number("attention_factor")
    return replace(
        common,
        factor=factor,
        attention_factor=inferred if given is None else given,
        beta_fast=section.optional_number("beta_fast") or 32.0,
        beta_slow=section.optional_number("beta_slow") or 1.0,
        truncate=section.flag("truncate", True),
    )


_SCALED = {
    RopeKind.DYNAMIC: _factor,
    RopeKind.LINEAR: _factor,
    RopeKind.LLAMA3: _llama3,
    RopeKind.LONGROPE: _longrope,
    RopeKind.YARN: _yarn,
}


def magnitude(factor: float, mscale: float = 1.0) -> float:
    """YaRN's attention temperature."""
    return 1.0 if factor <= 1 else 0.1 * mscale * math.log(factor) + 1.0
