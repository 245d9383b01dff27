"""Chunks whose columns each change a memory, read by doubling (Blelloch 1990).

What n columns do to a memory, and what the n before them do, together are what 2 n do.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import tensorflow as tf

_DOUBLINGS = 5
#: The most that a chunk may have.
COLUMNS = 1 << _DOUBLINGS
#: A nest of tensors [rows, columns, ...].
Changes = TypeVar("Changes")


def joined(join: Callable[[Changes, Changes], Changes], changes: Changes, nothing: Any) -> Changes:
    """What each column of a chunk and all columns before it do together.

    Args:
      join: (what some columns do, what those behind them do) -> what both do; associative.
      changes: what each column does alone.
      nothing: a nest of numbers for what no column does.
    """
    for doubling in range(_DOUBLINGS):
        earlier = tf.nest.map_structure(partial(_delayed, by=1 << doubling), changes, nothing)
        changes = join(earlier, changes)
    return changes


def after_both(
    earlier: tuple[tf.Tensor, tf.Tensor], later: tuple[tf.Tensor, tf.Tensor]
) -> tuple[tf.Tensor, tf.Tensor]:
    """Of a memory that columns multiply by the first number, and then add the second one to."""
    (kept, added), (kept_later, added_later) = earlier, later
    return kept * kept_later, added_later + kept_later * added


def _delayed(x: tf.Tensor, front: float, by: int) -> tf.Tensor:
    """[rows, columns, ...] moved to later columns; ``front`` stands before the first one."""
    padded = tf.pad(x, [[0, 0], [by, 0], *[[0, 0]] * (len(x.shape) - 2)], constant_values=front)
    return padded[:, : tf.shape(x)[1]]
