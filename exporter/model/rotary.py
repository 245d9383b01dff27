"""Rotary position embedding with every scaling of the reference's ``modeling_rope_utils``."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from exporter.spec import AttentionSpec, RopeKind, RopeLayout, RotaryRounding, RotarySpec

Floats = npt.NDArray[np.float32]


class Turning(NamedTuple):
    """What of an attention depends on positions; layers that agree in it share its tensors."""

    rotary: RotarySpec | None
    position_scale: tuple[float, int] | None
    position_scale_offset: int = 0

    @classmethod
    def of(cls, attention: AttentionSpec | None) -> Turning:
        """The turning of a layer's attention; of none where it has none."""
        if attention is None:
            return cls(None, None)
        return cls(attention.rotary, attention.position_scale, attention.position_scale_offset)


class Position(NamedTuple):
    """What of the positions enters queries and keys.

    Attributes:
      cosine, sine: float32 [rows, k, dim / 2], None without rotary embedding.
      query_scale: float32 [rows, k], a factor of the query, or None.
    """

    cosine: tf.Tensor | None = None
    sine: tf.Tensor | None = None
    query_scale: tf.Tensor | None = None


def position_at(turning: Turning, positions: tf.Tensor, seen: tf.Tensor) -> Position:
    """The tensors of a step; arguments as of ``angles``."""
    cosine, sine = angles(turning.rotary, positions, seen) if turning.rotary else (None, None)
    if turning.position_scale is None:
        return Position(cosine, sine)
    beta, length = turning.position_scale
    steps = tf.cast((positions + turning.position_scale_offset) // length, tf.float32)
    return Position(cosine, sine, 1.0 + beta * tf.math.log(1.0 + steps))


def frequencies(spec: RotarySpec) -> Floats:
    """float32 [dim / 2]: radians per position, for the kinds where it is a constant (and dynamic's start)."""
    periods = _periods(spec)
    plain = np.float32(1.0) / periods
    if spec.kind is RopeKind.LINEAR:
        return plain / np.float32(spec.factor)
    if spec.kind is RopeKind.YARN:
        return _yarn(spec, periods)
    if spec.kind is RopeKind.LLAMA3:
        return _llama3(spec, plain)
    if spec.kind is RopeKind.PROPORTIONAL:
        turning = np.arange(len(plain)) < len(plain) - spec.still
        return np.where(turning, plain / np.float32(spec.factor), np.float32(0.0))
    return plain


def _periods(spec: RotarySpec) -> Floats:
    """float32 [dim / 2]: theta ** (2 j / dim), rounded once."""
    exponents = np.arange(0, spec.dim, 2, dtype=np.float32) / np.float32(spec.dim)
    return np.power(spec.theta, exponents.astype(np.float64)).astype(np.float32)


def _yarn(spec: RotarySpec, periods: Floats) -> Floats:
    """Peng et al. 2023: slow features are interpolated, fast ones are not, with a ramp between."""

    def dimension(rotations: float) -> float:
        return (
            spec.dim * math.log(spec.original_length / (rotations * 2 * math.pi)) / (2 * math.log(spec.theta))
        )

    low, high = dimension(spec.beta_fast), dimension(spec.beta_slow)
    if spec.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, spec.dim - 1)
    high += 0.001 if low == high else 0.0
    ramp = np.clip(
        (np.arange(spec.dim // 2, dtype=np.float32) - np.float32(low)) / np.float32(high - low), 0, 1
    )
    kept = np.float32(1.0) - ramp.astype(np.float32)
    interpolated = np.float32(1.0) / (np.float32(spec.factor) * periods)
    return interpolated * (np.float32(1.0) - kept) + np.float32(1.0) / periods * kept


def _llama3(spec: RotarySpec, plain: Floats) -> Floats:
    """Llama 3.1: long wavelengths are divided by the factor, middle ones in part."""
    wavelengths = np.float32(2 * math.pi) / plain
    low, high = spec.low_freq_factor, spec.high_freq_factor
    smooth = (np.float32(spec.original_length) / wavelengths - np.float32(low)) / np.float32(high - low)
    scaled = plain / np.float32(spec.factor)
    blended = (1 - smooth) * scaled + smooth * plain
    result = np.where(wavelengths > spec.original_length / low, scaled, blended)
    return np.where(wavelengths < spec.original_length / high, plain, result).astype(np.float32)


def angles(spec: RotarySpec, positions: tf.Tensor, seen: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Cosines and sines for a step.

    Args:
      positions: int32 [rows, k].
      seen: int32 [rows, k or 1]: the length of the row when the reference, run on it alone with a cache,
        reads the token: the scalings that depend on length follow it.

    Returns:
      Two float32 [rows, k, dim / 2], multiplied by the attention factor.
    """
    turned = tf.cast(positions, tf.float32)[..., tf.newaxis] * _at_length(spec, seen)
    sine = -tf.sin(turned) if spec.backwards else tf.sin(turned)
    return tf.cos(turned) * spec.attention_factor, sine * spec.attention_factor


def _at_length(spec: RotarySpec, seen: tf.Tensor) -> tf.Tensor:
    """float32 frequencies, [dim / 2] or [rows, k or 1, dim / 2]."""
    if spec.kind is RopeKind.DYNAMIC:
        # NTK-aware: the base grows with the length beyond max_position_embeddings.
        length = tf.cast(tf.maximum(seen, spec.max_length), tf.float32)[..., tf.newaxis]
        growth = spec.factor * length / spec.max_length - (spec.factor - 1)
        base = spec.theta * _power(growth, spec.dim / (spec.dim - 2))
        return 1.0 / _power(base, np.arange(0, spec.dim, 2, dtype=np.float32) / np.float32(spec.dim))
    if spec.kind is RopeKind.LONGROPE:
        short, long = (
            np.float32(1.0) / (np.asarray(factors, np.float32) * _periods(spec))
            for factors in (spec.short_factors, spec.long_factors)
        )
        return tf.where(seen[..., tf.newaxis] > spec.original_length, long, short)
    return tf.constant(frequencies(spec))


def _power(base: tf.Tensor, exponent: Any) -> tf.Tensor:
    """float32 power, rounded once: an error in a frequency is multiplied by the position."""
    return tf.cast(tf.pow(tf.cast(base, tf.float64), tf.cast(exponent, tf.float64)), tf.float32)


def rotate(x: tf.Tensor, cosine: tf.Tensor, sine: tf.Tensor, spec: RotarySpec) -> tf.Tensor:
    """Turns the first ``dim`` features of every head.

    Args:
      x: [rows, k, heads, head_dim].
      cosine, sine: float32 [rows, k, dim / 2].
    """
    dtype = x.dtype
    work = dtype if spec.rounding is RotaryRounding.EACH else tf.float32
    angles_in = tf.float32 if spec.rounding is RotaryRounding.SUM else dtype
    turned = tf.cast(x[..., : spec.dim], work)
    cosine, sine = (tf.cast(tf.cast(part[:, :, tf.newaxis], angles_in), work) for part in (cosine, sine))
    if spec.layout is RopeLayout.HALVES:
        first, second = tf.split(turned, 2, axis=-1)
    else:
        first, second = turned[..., 0::2], turned[..., 1::2]
    halves = first * cosine - second * sine, second * cosine + first * sine
    if spec.layout is RopeLayout.HALVES:
        turned = tf.concat(halves, axis=-1)
    else:
        # [..., dim / 2, 2] -> [..., dim]
        turned = tf.reshape(tf.stack(halves, axis=-1), tf.shape(turned))
    if spec.dim == x.shape[-1]:
        return tf.cast(turned, dtype)
    return tf.concat([tf.cast(turned, dtype), x[..., spec.dim :]], axis=-1)
