"""Writing new keys and values into the generated segments of a cache (layout: ``exporter.model.cache``)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import tensorflow as tf

from exporter.model.xla_ops import in_entry, update_columns, update_slots


def write(
    buffers: tuple[tf.Tensor, Any],
    updates: tuple[tf.Tensor, Any],
    count: tf.Tensor,
    *,
    wraps: bool,
    sharing: int,
    kv_heads: int,
    entry: tf.Tensor | None = None,
) -> tuple[tf.Tensor, Any]:
    """Writes the tokens ``count ... count + k - 1`` of every row to their slots.

    One slice for all rows where they advance together; a select over the segment where each row has its own
    place, or where several tokens may run over the end of a ring.

    Args:
      buffers: generated keys and values; () for the latter where the keys are both.
      updates: new ones, [rows * kv_heads, k, head_dim].
      count: int32 [] or [rows].
      wraps: the buffers are rings.
      sharing: how many rows write to one buffer.
      kv_heads: of the layer.
      entry: int32 [], the layer's place among those whose buffers are stacked; None where they are its own.
    """
    slots, k = buffers[0].shape[-2], updates[0].shape[1]
    if sharing > 1:
        updates = tf.nest.map_structure(partial(_side_by_side, sharing=sharing, kv_heads=kv_heads), updates)
    if count.shape.rank == 0 and (not wraps or k == 1):
        start = (count * sharing) % slots if wraps else count * sharing
        return _each(partial(update_columns, start=start, entry=entry), buffers, updates)
    places = (tf.reshape(count, [-1, 1]) * sharing + tf.range(k * sharing)) % slots
    if count.shape.rank == 1:
        # [rows, k] -> [rows * kv_heads, k]
        places = tf.repeat(places, tf.shape(updates[0])[0] // tf.shape(places)[0], axis=0)

    def at_places(buffer: tf.Tensor, update: tf.Tensor) -> tf.Tensor:
        return in_entry(buffer, entry, partial(update_slots, update=update, slots=places))

    return _each(at_places, buffers, updates)


def _each(change: Callable[..., tf.Tensor], *parts: tuple[tf.Tensor, Any]) -> tuple[tf.Tensor, Any]:
    """``change`` of keys and of values, where there are any."""
    return tf.nest.map_structure(change, *parts)  # type: ignore[no-any-return]


def _side_by_side(update: tf.Tensor, sharing: int, kv_heads: int) -> tf.Tensor:
    """[batch * sharing * kv_heads, k, head_dim] -> [batch * kv_heads, k * sharing, head_dim]."""
    _, k, head_dim = update.shape
    by_row = tf.reshape(update, [-1, sharing, kv_heads, k, head_dim])
    return tf.reshape(tf.transpose(by_row, [0, 2, 3, 1, 4]), [-1, k * sharing, head_dim])
