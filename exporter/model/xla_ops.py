"""XLA operations that TensorFlow's public API lacks: a slice update at a position known at run time, and a
matrix product that is not rounded to its factors' dtype.

``XlaDynamicUpdateSlice`` and ``XlaDotV2`` are registered in every TensorFlow build with XLA, stock TensorFlow
Serving included, but have no kernel outside compiled code; elsewhere the same result comes from a select over
the whole tensor, and from factors in float32.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import tensorflow as tf
from tensorflow.compiler.tf2xla.ops import gen_xla_ops
from tensorflow.compiler.xla.xla_data_pb2 import DotDimensionNumbers

from exporter.generation.compiled import in_compiled_code

_PRODUCT = DotDimensionNumbers(lhs_contracting_dimensions=[1], rhs_contracting_dimensions=[0])


def wide_product(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """[rows, n] times [n, columns], of one dtype -> float32, the sums as they are."""
    if in_compiled_code():
        return gen_xla_ops.xla_dot_v2(x, y, _PRODUCT.SerializeToString(), "", tf.float32)
    return tf.matmul(tf.cast(x, tf.float32), tf.cast(y, tf.float32))


def update_columns(
    buffer: tf.Tensor, update: tf.Tensor, start: tf.Tensor, entry: tf.Tensor | None = None
) -> tf.Tensor:
    """``buffer[:, start : start + k] = update``; in place in a compiled loop.

    Args:
      buffer: [rows * kv_heads, capacity, head_dim].
      update: [rows * kv_heads, k, head_dim].
      start: int32 [].
      entry: int32 [], which entry is meant of a buffer that has one more axis in front; None: it has not.
    """
    if in_compiled_code():
        zero = tf.zeros([], tf.int32)
        if entry is None:
            return gen_xla_ops.xla_dynamic_update_slice(buffer, update, tf.stack([zero, start, zero]))
        begin = tf.stack([entry, zero, start, zero])
        return gen_xla_ops.xla_dynamic_update_slice(buffer, update[tf.newaxis], begin)
    slots = start + tf.range(tf.shape(update)[1])[tf.newaxis]
    return in_entry(buffer, entry, partial(update_slots, update=update, slots=slots))


def in_entry(
    buffer: tf.Tensor, entry: tf.Tensor | None, change: Callable[[tf.Tensor], tf.Tensor]
) -> tf.Tensor:
    """``buffer`` with one entry of its first axis changed; with all of it, where ``entry`` is None."""
    return change(buffer) if entry is None else update_entry(buffer, change(tf.gather(buffer, entry)), entry)


def update_entry(buffer: tf.Tensor, entry: tf.Tensor, index: tf.Tensor, axis: int = 0) -> tf.Tensor:
    """``buffer[index] = entry``; in place in a compiled loop.

    Args:
      buffer: [entries, ...], or with the entries along another ``axis``.
      entry: [...].
      index: int32 [].
    """
    update = tf.expand_dims(entry, axis)
    if in_compiled_code():
        start = tf.one_hot(axis, len(buffer.shape), dtype=tf.int32) * index
        return gen_xla_ops.xla_dynamic_update_slice(buffer, update, start)
    if axis == 0:
        return tf.tensor_scatter_nd_update(buffer, [[index]], update)
    meant = tf.one_hot(index, tf.shape(buffer)[axis], on_value=True, off_value=False)
    return tf.where(tf.reshape(meant, [-1, *[1] * (len(buffer.shape) - axis - 1)]), update, buffer)


def update_slots(buffer: tf.Tensor, update: tf.Tensor, slots: tf.Tensor) -> tf.Tensor:
    """``buffer[r, slots[r, i]] = update[r, i]`` as one select over the buffer.

    Args:
      buffer: [rows * kv_heads, capacity, head_dim].
      update: [rows * kv_heads, k, head_dim].
      slots: int32 [rows * kv_heads or 1, k], distinct within a row.
    """
    hits = slots[:, :, tf.newaxis] == tf.range(tf.shape(buffer)[1])  # [rows * kv_heads or 1, k, capacity]
    source = tf.argmax(tf.cast(hits, tf.int32), axis=1, output_type=tf.int32)
    source = tf.broadcast_to(source, tf.shape(buffer)[:2])
    spread = tf.gather(update, source, axis=1, batch_dims=1)
    written = tf.reduce_any(hits, axis=1)[:, :, tf.newaxis]
    return tf.where(written, spread, buffer)
