"""Cutoffs in a distribution without sorting it: exact bisection on the values of the keys.

Sorting 50,000 logits per row and step costs more than the model. All that top-k, top-p and their relatives
need from a sorted distribution is one cutoff, and a cutoff is found by counting or summing what lies above
a guess: some twenty passes over the row.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

# The smallest normal float32.
_TINY = 2.0**-126
# There are 2**32 float32 values.
_MOST_STEPS = 34


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
      The cutoff.
    """

    def reaches(weight: tf.Tensor) -> tf.Tensor:
        return weight >= target if inclusive else weight > target

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


def _halve(search: _Search, counted: bool) -> _Search:
    """The next guess, and in which rows it says something new: two keys may differ, and it lies between."""
    low, high = _ordinal(search.low), _ordinal(search.high)
    # The mean of two int32 without overflow, rounded down.
    middle = _value((low & high) + tf.bitwise.right_shift(low ^ high, 1))
    # Some of XLA's threads take subnormal numbers for zero and some do not: no cutoff may be one.
    middle = tf.where(tf.abs(middle) < _TINY, 0.0, middle)
    splits = (search.low < middle) & (middle < search.high)
    if counted:
        splits &= search.above_low - search.above_high > 1
    return search._replace(middle=middle, splits=splits)


def _ordinal(value: tf.Tensor) -> tf.Tensor:
    """float32 -> int32 in the same order, so that 32 halvings separate any two numbers."""
    bits = tf.bitcast(value, tf.int32)
    return tf.where(bits < 0, bits ^ 0x7FFFFFFF, bits)


def _value(ordinal: tf.Tensor) -> tf.Tensor:
    """The inverse of ``_ordinal``."""
    return tf.bitcast(tf.where(ordinal < 0, ordinal ^ 0x7FFFFFFF, ordinal), tf.float32)


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
