"""Cutoffs in a distribution without sorting it: an exact search on the values of the keys.

Sorting 50,000 logits per row and step costs more than the model. All that top-k, top-p and their relatives
need from a sorted distribution is one cutoff, and a cutoff is found by counting or summing what lies above
a guess.

On the cpu target the search halves an interval until it holds one key: some twenty passes over the row. Their
number depends on the data, so on a GPU every pass would wait for the host; on the gpu target eight passes of
fifteen guesses each find the cutoff digit by digit, in a loop whose trip count XLA knows. What is kept is the
same.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from exporter.generation.compiled import sums
from exporter.targets import current_target

# The smallest normal float32, and the largest bits of a subnormal one.
_TINY, _SUBNORMAL = 2.0**-126, 0x7FFFFF
# What ``_ordinal`` gives for -inf; there are fewer than 2**32 ordinals.
_LOWEST = -(0x7F800000 - _SUBNORMAL)
_MOST_STEPS = 34
# Bits that a pass of the gpu target's search finds.
_DIGIT = 4

# Whether a weight reaches the target: float32 [rows, n] -> bool [rows, n].
Reaches = Callable[[tf.Tensor], tf.Tensor]


class Cutoff(NamedTuple):
    """An interval around a cutoff; the keys in (low, high] are one key, or several of the same value.

    Both are float32 [rows, 1]; -inf where every key is above.
    """

    low: tf.Tensor
    high: tf.Tensor


class _Search(NamedTuple):
    """Loop variables of the bisection, all [rows, 1].

    Attributes:
      low, high: float32, the interval.
      above_low, above_high: float32, how many keys are above each end; 0 with weights.
      middle: float32, the next guess; stored, so that every use of it is the same number.
      splits: bool, whether the interval can be halved once more.
    """

    low: tf.Tensor
    high: tf.Tensor
    above_low: tf.Tensor
    above_high: tf.Tensor
    middle: tf.Tensor
    splits: tf.Tensor


def find_cutoff(
    keys: tf.Tensor, target: tf.Tensor | float, weights: tf.Tensor | None = None, *, inclusive: bool = True
) -> Cutoff:
    """Where the weight of the largest keys reaches a target.

    With ``above(t)`` the summed weight of the keys greater than t: ``above(low) >= target > above(high)``.
    So ``keys > low`` is the smallest set of largest keys whose weight is at least the target, and all
    keys that tie with the last of them. With ``inclusive=False`` it is ``above(low) > target >= above(high)``
    and ``keys > high`` is the largest set whose weight is at most the target.

    Args:
      keys: float32 [rows, vocab]; -inf never counts.
      target: float32 [rows, 1] or a number; above the total weight (inf) every key is kept.
      weights: float32 [rows, vocab], not negative; None counts keys.
      inclusive: see above.

    Returns:
      The cutoff. Its ends may be different numbers on the two targets where keys are counted; between them
      are the same keys. Where the weights' sums are rounded, a target that only the rounding of two orders of
      summing tells apart may be reached one key earlier or later.
    """

    def reaches(weight: tf.Tensor) -> tf.Tensor:
        return weight >= target if inclusive else weight > target

    search = _bisect if current_target() == "cpu" else _find_digits
    return search(keys, weights, reaches)


def _bisect(keys: tf.Tensor, weights: tf.Tensor | None, reaches: Reaches) -> Cutoff:
    """``find_cutoff`` by halving an interval."""

    def measure(at: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """How many keys are above, and whether their weight reaches the target.

        With weights nothing is counted, for that would be a second pass: the search goes on to the last bit.
        """
        above = keys > at
        if weights is None:
            count = tf.reduce_sum(tf.cast(above, tf.float32), axis=-1, keepdims=True)
            return count, reaches(count)
        weight = tf.reduce_sum(tf.where(above, weights, 0.0), axis=-1, keepdims=True)
        return tf.zeros_like(weight), reaches(weight)

    def body(search: _Search) -> tuple[_Search]:
        count, enough = measure(search.middle)
        up, down = search.splits & enough, search.splits & ~enough
        narrowed = search._replace(
            low=tf.where(up, search.middle, search.low),
            high=tf.where(down, search.middle, search.high),
            above_low=tf.where(up, count, search.above_low),
            above_high=tf.where(down, count, search.above_high),
        )
        return (_halve(narrowed, weights is None),)

    (search,) = tf.while_loop(
        lambda search: tf.reduce_any(search.splits),
        body,
        (_halve(_start(keys, measure), weights is None),),
        maximum_iterations=_MOST_STEPS,
    )
    return Cutoff(search.low, search.high)


def _find_digits(keys: tf.Tensor, weights: tf.Tensor | None, reaches: Reaches) -> Cutoff:
    """``find_cutoff`` by the digits of the largest number below the largest key that reaches the target.

    A pass weighs the fifteen numbers that differ in one hexadecimal digit; how many of them reach the target
    is the digit, for less lies above a larger number.
    """
    largest = _ordinal(tf.reduce_max(keys, axis=-1, keepdims=True))
    ones = tf.ones_like(keys) if weights is None else weights
    digits = tf.range(1, 2**_DIGIT)

    def body(turn: tf.Tensor, found: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        shift = 32 - _DIGIT * (turn + 1)
        guesses = found + tf.bitwise.left_shift(digits, shift)  # [rows, 15]
        at = tf.unstack(_value(guesses), axis=-1)
        above = sums([tf.where(keys > guess[:, None], ones, 0.0) for guess in at])
        # A guess above the largest key may be no number at all: it does not count.
        counts = reaches(above) & (guesses < largest)
        digit = tf.reduce_sum(tf.cast(counts, tf.int32), axis=-1, keepdims=True)
        return turn + 1, found + tf.bitwise.left_shift(digit, shift)

    passes = 32 // _DIGIT
    _, found = tf.while_loop(
        lambda turn, _: turn < passes,
        body,
        (0, tf.zeros_like(largest) + _LOWEST),
        maximum_iterations=passes,
    )
    # Where nothing reaches the target everything is kept.
    total = tf.reduce_sum(tf.where(keys > -math.inf, ones, 0.0), axis=-1, keepdims=True)
    high = tf.where(reaches(total), _value(tf.minimum(found + 1, largest)), -math.inf)
    return Cutoff(_value(found), high)


def _halve(search: _Search, counted: bool) -> _Search:
    """The next guess, and in which rows it says something new: two keys may differ, and it lies between."""
    low, high = _ordinal(search.low), _ordinal(search.high)
    # The mean of two int32 without overflow, rounded down.
    middle = _value((low & high) + tf.bitwise.right_shift(low ^ high, 1))
    splits = (search.low < middle) & (middle < search.high)
    if counted:
        splits &= search.above_low - search.above_high > 1
    return search._replace(middle=middle, splits=splits)


def _ordinal(value: tf.Tensor) -> tf.Tensor:
    """float32 -> int32 in the same order and without gaps, so that 32 halvings separate any two numbers.

    Subnormal numbers have zero's: some of XLA's threads take them for zero and some do not, so no cutoff may
    be one.
    """
    bits = tf.bitcast(value, tf.int32)
    magnitude = tf.maximum((bits & 0x7FFFFFFF) - _SUBNORMAL, 0)
    return tf.where(bits < 0, -magnitude, magnitude)


def _value(ordinal: tf.Tensor) -> tf.Tensor:
    """The inverse of ``_ordinal``."""
    magnitude = tf.abs(ordinal)
    value = tf.bitcast(tf.where(magnitude > 0, magnitude + _SUBNORMAL, 0), tf.float32)
    return tf.where(ordinal < 0, -value, value)


def _start(keys: tf.Tensor, measure: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]) -> _Search:
    """The first interval: all keys, or nothing where all of them do not reach the target."""
    high = tf.reduce_max(keys, axis=-1, keepdims=True)
    least = tf.reduce_min(tf.where(keys > -math.inf, keys, high), axis=-1, keepdims=True)
    below = least - (tf.abs(least) * 1e-6 + _TINY)
    count, enough = measure(below)
    return _Search(
        low=tf.where(enough, below, -math.inf),
        # Where nothing reaches the target everything is kept, and the search is over.
        high=tf.where(enough, high, -math.inf),
        above_low=tf.where(enough, count, 0.0),
        above_high=tf.zeros_like(high),
        middle=high,
        splits=tf.zeros_like(high, tf.bool),
    )
