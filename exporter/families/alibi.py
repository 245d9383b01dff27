"""Slopes of attention with linear biases (Press et al. 2021, section 3) for any number of heads."""

from __future__ import annotations

import math


def interleaved_slopes(heads: int) -> tuple[float, ...]:
    """Bloom's and falcon's: the next lower power of two, then every other slope of the next higher one."""
    lower = 2 ** math.floor(math.log2(heads))
    extra = _geometric(2 * lower)[::2][: heads - lower]
    return _geometric(lower) + extra


def halved_slopes(heads: int) -> tuple[float, ...]:
    """MPT's: of the next higher power of two, first every other slope from the second on, then the rest."""
    slopes = _geometric(2 ** math.ceil(math.log2(heads)))
    return slopes if len(slopes) == heads else (slopes[1::2] + slopes[::2])[:heads]


def _geometric(heads: int) -> tuple[float, ...]:
    """2^(-8 / heads), 2^(-16 / heads), ..., 2^-8."""
    return tuple(2.0 ** (-8.0 * (index + 1) / heads) for index in range(heads))
