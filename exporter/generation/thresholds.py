"""Cutoffs in a distribution without sorting it: exact bisection on the values of the keys.

Sorting 50,000 logits per row and step costs more than the model. All that top-k, top-p and their relatives
need from a sorted distribution is one cutoff, and a cutoff is found by counting or summing what lies above
a guess: some ten passes over the row.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

# Below this distance from the largest logit a token's float32 probability is zero.
_NEAR = 128.0
# Far below any difference of logits, far above the subnormal numbers.
_TINY = 1e-30
# Halving an interval of float32 values leaves nothing after 280 steps; real rows take some ten.
_MOST_STEPS = 300


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
      above_low, above_high: float32, how many keys are above each end.
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
        """How many keys are above, and whether their weight reaches the target."""
        above = keys > at
        count = tf.reduce_sum(tf.cast(above, tf.float32), axis=-1, keepdims=True)
        if weights is None:
            return count, reaches(count)
        return count, reaches(tf.reduce_sum(tf.where(above, weights, 0.0), axis=-1, keepdims=True))

    def body(search: _Search) -> tuple[_Search]:
        count, enough = measure(search.middle)
        up, down = search.splits & enough, search.splits & ~enough
        narrowed = search._replace(
            low=tf.where(up, search.middle, search.low),
            high=tf.where(down, search.middle, search.high),
            above_low=tf.where(up, count, search.above_low),
            above_high=tf.where(down, count, search.above_high),
        )
        return (_halve(narrowed),)

    (search,) = tf.while_loop(
        lambda search: tf.reduce_any(search.splits),
        body,
        (_halve(_start(keys, measure)),),
        maximum_iterations=_MOST_STEPS,
    )
    return Cutoff(search.low, search.high)


def _halve(search: _Search) -> _Search:
    """The next guess, and in which rows it says something new: two keys may differ, and it lies between."""
    middle = 0.5 * tf.maximum(search.low, tf.float32.min) + 0.5 * search.high
    # Some of XLA's threads take subnormal numbers for zero and some do not: no cutoff may be near one.
    middle = tf.where(tf.abs(middle) < _TINY, 0.0, middle)
    inside = (search.low < middle) & (middle < search.high)
    return search._replace(middle=middle, splits=inside & (search.above_low - search.above_high > 1))


def _start(keys: tf.Tensor, measure: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]) -> _Search:
    """The first interval: from the largest key down to where the weight is sure to reach the target."""
    high = tf.reduce_max(keys, axis=-1, keepdims=True)
    near, lowest = high - _NEAR, tf.fill(tf.shape(high), -math.inf)
    near_count, near_enough = measure(near)
    all_count, all_enough = measure(lowest)
    return _Search(
        low=tf.where(near_enough, near, lowest),
        # Where nothing reaches the target everything is kept, and the search is over.
        high=tf.where(near_enough | all_enough, high, lowest),
        above_high=tf.zeros_like(high),
        above_low=tf.where(near_enough, near_count, tf.where(all_enough, all_count, 0.0)),
        middle=high,
        splits=tf.zeros_like(high, tf.bool),
    )
