"""T5's relative position bias (Raffel et al. 2020, section 2.1).

Distances fall into buckets, and every bucket has a learned number per head.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from exporter.spec import RelativeSpec


def relative_bias(
    spec: RelativeSpec | None, table: tf.Tensor | None, distance: tf.Tensor
) -> tf.Tensor | None:
    """float32 [1 or rows, heads, query, key] from int32 query position - key position [(rows), query, key].

    Args:
      spec: None gives None.
      table: [buckets, heads].
    """
    if spec is None:
        return None
    assert table is not None
    buckets = buckets_of_distances(spec)
    # [distances, heads] -> [heads, distances]
    by_distance = tf.transpose(tf.gather(tf.cast(table, tf.float32), buckets))
    first = -spec.max_distance if spec.bidirectional else 0
    index = tf.clip_by_value(distance, first, spec.max_distance) - first
    bias = tf.gather(by_distance, index, axis=1)
    # [heads, query, key] -> [1, heads, query, key], or [heads, rows, query, key] -> [rows, heads, query, key]
    return bias[tf.newaxis] if len(bias.shape) == 3 else tf.transpose(bias, [1, 0, 2, 3])


def buckets_of_distances(spec: RelativeSpec) -> npt.NDArray[np.int32]:
    """int32: the bucket of every distance (query - key) from the first to the last that differ.

    From -max_distance in both directions, else from 0 (a later key counts as distance 0), to max_distance;
    beyond them nothing changes. In float32 as ``T5Attention._relative_position_bucket`` is, since on the
    border of two buckets rounding decides.

    Example: 8 buckets up to distance 16, in one direction: 0 1 2 3 4 4 5 5 6 6 6 6 7 7 7 7 7.
    """
    if not spec.bidirectional:
        return _buckets(np.arange(spec.max_distance + 1), spec.buckets, spec.max_distance)
    half = spec.buckets // 2
    ahead = half + _buckets(np.arange(spec.max_distance, 0, -1), half, spec.max_distance)
    behind = _buckets(np.arange(spec.max_distance + 1), half, spec.max_distance)
    return np.concatenate([ahead, behind])


def _buckets(distance: npt.NDArray[Any], count: int, max_distance: int) -> npt.NDArray[np.int32]:
    """Half of the buckets hold one distance each, the others grow by a constant factor."""
    exact = count // 2
    ratio = np.log(np.maximum(distance, 1).astype(np.float32) / np.float32(exact))
    steps = ratio / np.float32(math.log(max_distance / exact)) * np.float32(count - exact)
    grown = np.minimum(exact + steps.astype(np.int32), count - 1)
    return np.where(distance < exact, distance, grown).astype(np.int32)
