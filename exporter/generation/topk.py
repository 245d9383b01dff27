"""The k largest of a long row without sorting it.

XLA sorts a whole row for ``tf.math.top_k`` on the CPU, which for one step of beam search costs more than the
model. Here a row is cut into blocks; the k blocks with the largest maxima hold the k largest values, and
what is left is k rounds over k blocks.
"""

from __future__ import annotations

import math

import tensorflow as tf

BLOCK = 128


def largest(values: tf.Tensor, k: int) -> tuple[tf.Tensor, tf.Tensor]:
    """The k largest values of each row, largest first, and where they are; ties in order of their index.

    Args:
      values: float32 [rows, size], size static, size >= k, no NaN.
      k: static.

    Returns:
      float32 [rows, k], int32 [rows, k].
    """
    size = values.shape[1]
    if size <= BLOCK * max(2, k):
        return _rounds(values, tf.zeros_like(values, tf.int32) + tf.range(size), k)
    blocks = in_blocks(values, BLOCK, -math.inf)  # [rows, blocks, BLOCK]
    count = blocks.shape[1]
    maxima = tf.reduce_max(blocks, axis=-1)
    _, chosen = _rounds(maxima, tf.zeros_like(maxima, tf.int32) + tf.range(count), k)
    candidates = tf.gather(blocks, chosen, axis=1, batch_dims=1)  # [rows, k, BLOCK]
    index = chosen[:, :, None] * BLOCK + tf.range(BLOCK)
    return _rounds(tf.reshape(candidates, [-1, k * BLOCK]), tf.reshape(index, [-1, k * BLOCK]), k)


def in_blocks(values: tf.Tensor, size: int, fill: float) -> tf.Tensor:
    """[rows, n] -> [rows, blocks, size], the last block filled up."""
    rows, n = tf.shape(values)[0], values.shape[1]
    blocks = -(-n // size)
    padded = tf.pad(values, [[0, 0], [0, blocks * size - n]], constant_values=fill)
    return tf.reshape(padded, tf.stack([rows, blocks, size]))


def _rounds(values: tf.Tensor, index: tf.Tensor, k: int) -> tuple[tf.Tensor, tf.Tensor]:
    """k times the largest value and, among equal ones, the smallest index, which is then taken out."""
    beyond = tf.int32.max
    column = tf.range(k)
    none = tf.zeros_like(index[:, :1]) + tf.zeros_like(column)  # [rows, k]

    def body(
        turn: tf.Tensor, index: tf.Tensor, best: tf.Tensor, where: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        # A taken value keeps its place and loses its index.
        left = tf.where(index < beyond, values, -math.inf)
        top = tf.reduce_max(left, axis=-1, keepdims=True)
        first = tf.reduce_min(tf.where(left >= top, index, beyond), axis=-1, keepdims=True)
        here = column == turn
        best, where = tf.where(here, top, best), tf.where(here, first, where)
        return turn + 1, tf.where(index == first, beyond, index), best, where

    _, _, best, where = tf.while_loop(
        lambda turn, *_: turn < k,
        body,
        (0, index, tf.cast(none, values.dtype), none),
        maximum_iterations=k,
    )
    return best, where
