"""The k largest of a long row without sorting it.

XLA sorts a whole row for ``tf.math.top_k`` on the CPU, which for one step of beam search costs more than the
model; on a GPU it sorts too, or leaves the order of equal values open. Here a row is cut into blocks; the k
blocks with the largest maxima hold the k largest values. Of what is left, maxima and then candidates, the cpu
target takes the largest k times; the gpu target compares all pairs at once: more arithmetic, but no loop.
"""

from __future__ import annotations

import math

import tensorflow as tf

from exporter.targets import current_target

# Values per block; for pairs smaller ones, as their number grows with the square of what is left.
BLOCK = 128
_BLOCK_OF_PAIRS = 64


def largest(values: tf.Tensor, k: int) -> tuple[tf.Tensor, tf.Tensor]:
    """The k largest values of each row, largest first, and where they are; ties in order of their index.

    Args:
      values: float32 [rows, size], size static, size >= k, no NaN.
      k: static.

    Returns:
      float32 [rows, k], int32 [rows, k].
    """
    size, pairs = values.shape[1], current_target() == "gpu"
    block, pick = (_BLOCK_OF_PAIRS, _pairs) if pairs else (BLOCK, _rounds)
    if size <= block * max(2, k):
        return pick(values, tf.zeros_like(values, tf.int32) + tf.range(size), k)
    blocks = in_blocks(values, block, -math.inf)  # [rows, blocks, block]
    count = blocks.shape[1]
    maxima = tf.reduce_max(blocks, axis=-1)
    if pairs:
        _, chosen = largest(maxima, k)
    else:
        _, chosen = _rounds(maxima, tf.zeros_like(maxima, tf.int32) + tf.range(count), k)
    candidates = tf.gather(blocks, chosen, axis=1, batch_dims=1)  # [rows, k, block]
    index = chosen[:, :, None] * block + tf.range(block)
    return pick(tf.reshape(candidates, [-1, k * block]), tf.reshape(index, [-1, k * block]), k)


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


def _pairs(values: tf.Tensor, index: tf.Tensor, k: int) -> tuple[tf.Tensor, tf.Tensor]:
    """The same as ``_rounds``: a value's rank is how many go before it."""
    value, other = values[:, :, None], values[:, None, :]
    before = (other > value) | ((other == value) & (index[:, None, :] < index[:, :, None]))
    rank = tf.reduce_sum(tf.cast(before, tf.int32), axis=-1)  # [rows, size]
    place = rank[:, None, :] == tf.range(k)[:, None]  # [rows, k, size], one True in each row of it
    best = tf.reduce_max(tf.where(place, values[:, None, :], -math.inf), axis=-1)
    return best, tf.reduce_max(tf.where(place, index[:, None, :], 0), axis=-1)
