"""Choosing a token from processed logits: the best one, or one drawn."""

from __future__ import annotations

import tensorflow as tf

from exporter.generation.history import row_indices
from exporter.generation.threefry import uniforms

# Tokens per block of the two-level draw; near the square root of common vocabulary sizes.
_BLOCK = 256


def best_token(logits: tf.Tensor) -> tf.Tensor:
    """int32 [rows]: the first of the largest logits.

    Two plain reductions: XLA vectorises them, the paired reduction of an argmax it does not.
    """
    vocab = tf.shape(logits)[1]
    best = tf.reduce_max(logits, axis=-1, keepdims=True)
    return tf.reduce_min(tf.where(logits >= best, tf.range(vocab), vocab - 1), axis=-1)


def draw_token(logits: tf.Tensor, seed: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
    """int32 [rows]: a token drawn from softmax(logits), by the row's seed (int64 [rows]) and the step.

    The inverse of the cumulative distribution, in two levels with a number each: first a block of tokens,
    then a token of the block. A token of probability zero is never drawn.
    """
    weights = tf.exp(logits - tf.reduce_max(logits, axis=-1, keepdims=True))
    first, second = uniforms(seed, step, tf.zeros_like(step))
    return draw_index(_in_blocks(weights), first, second)


def _in_blocks(weights: tf.Tensor) -> tf.Tensor:
    """[rows, vocab] -> [rows, blocks, _BLOCK], filled with weight 0."""
    rows, vocab = tf.shape(weights)[0], weights.shape[1]
    blocks = -(-vocab // _BLOCK)
    padded = tf.pad(weights, [[0, 0], [0, blocks * _BLOCK - vocab]])
    return tf.reshape(padded, tf.stack([rows, blocks, _BLOCK]))


def draw_index(blocks: tf.Tensor, first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """int32 [rows]: an index into the flattened blocks, drawn with probability proportional to its weight.

    Args:
      blocks: float32 [rows, blocks, size], weights, not negative, some of them positive in every row.
      first, second: float32 [rows] in [0, 1).
    """
    block = _inverse(tf.reduce_sum(blocks, axis=-1), first)
    inner = _inverse(tf.gather_nd(blocks, row_indices(block[:, None])[:, 0]), second)
    return block * blocks.shape[2] + inner


def _inverse(weights: tf.Tensor, uniform: tf.Tensor) -> tf.Tensor:
    """int32 [rows]: where the cumulative weights [rows, k] pass ``uniform`` of their total."""
    cumulative = tf.cumsum(weights, axis=-1)
    target = uniform[:, None] * cumulative[:, -1:]
    # Rounding may let a cumulative sum grow over an index of weight 0: those are never taken.
    possible = weights > 0
    size = weights.shape[1]
    found = tf.reduce_min(tf.where((cumulative > target) & possible, tf.range(size), size), axis=-1)
    last = tf.reduce_max(tf.where(possible, tf.range(size), 0), axis=-1)
    return tf.minimum(found, last)


def log_probability(logits: tf.Tensor, token: tf.Tensor) -> tf.Tensor:
    """float32 [rows]: log softmax of the logits at each row's token."""
    chosen = tf.gather(logits, token, axis=1, batch_dims=1)
    return chosen - tf.reduce_logsumexp(logits, axis=-1)
