"""Choosing a token from processed logits: the best one, or one drawn."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import tensorflow as tf

from exporter.generation.rows import RowOptions
from exporter.generation.threefry import uniforms
from exporter.generation.topk import in_blocks
from exporter.targets import current_target

T = TypeVar("T")

# Tokens per block of the two-level draw; near the square root of common vocabulary sizes.
BLOCK = 256


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
    blocks = in_blocks(_weights(logits), BLOCK, 0.0)
    first, second = uniforms(seed, step, tf.constant(0))
    block = _inverse(tf.reduce_sum(blocks, axis=-1), first)
    return block * BLOCK + _inverse(tf.gather(blocks, block, axis=1, batch_dims=1), second)


def draw_without_replacement(
    logits: tf.Tensor, count: int, seed: tf.Tensor, step: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Draws ``count`` different tokens one after the other, as ``torch.multinomial`` without replacement.

    Args:
      logits: float32 [rows, vocab].
      count: static.
      seed: int64 [rows].
      step: int32 [].

    Returns:
      int32 [rows, count] tokens in the order drawn, and bool [rows, count]: False once no token with a
      probability above zero was left (the token is then arbitrary).
    """
    blocks = in_blocks(_weights(logits), BLOCK, 0.0)
    sums = tf.reduce_sum(blocks, axis=-1)  # [rows, blocks]
    column = tf.range(count)
    none = tf.zeros_like(sums[:, :1], tf.int32) + tf.zeros_like(column) - 1  # [rows, count]

    def body(
        turn: tf.Tensor, sums: tf.Tensor, drawn: tf.Tensor, valid: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        first, second = uniforms(seed, step, turn)
        block = _inverse(sums, first)
        index = block[:, None] * BLOCK + tf.range(BLOCK)  # [rows, BLOCK]
        taken = tf.reduce_any(index[:, :, None] == drawn[:, None, :], axis=-1)
        left = tf.where(taken, 0.0, tf.gather(blocks, block, axis=1, batch_dims=1))
        token = block * BLOCK + _inverse(left, second)
        # The block's sum is made anew: a difference would leave rounding errors to be drawn from.
        rest = tf.reduce_sum(tf.where(index == token[:, None], 0.0, left), axis=-1)
        here, possible = column == turn, tf.reduce_any(sums > 0, axis=-1)
        sums = tf.where(tf.range(tf.shape(sums)[1]) == block[:, None], rest[:, None], sums)
        drawn = tf.where(here, token[:, None], drawn)
        return turn + 1, sums, drawn, valid | (here & possible[:, None])

    _, _, drawn, valid = tf.while_loop(
        lambda turn, *_: turn < count, body, (0, sums, none, none > 0), maximum_iterations=count
    )
    return drawn, valid


def drawn_or_best(rows: RowOptions, drawn: Callable[..., T], best: Callable[..., T]) -> Callable[..., T]:
    """By each row's temperature: two ways of choosing, which give tensors [rows, ...], as one."""
    sampled = rows.temperature > 0

    def by_row(*inputs: tf.Tensor) -> T:
        return where_rows(sampled, drawn(*inputs), best(*inputs))

    def either(*inputs: tf.Tensor) -> T:
        # A batch without a sampled row pays nothing for cutoffs.
        some = tf.reduce_any(sampled & ~rows.finished)
        return tf.cond(some, lambda: by_row(*inputs), lambda: best(*inputs))

    # On a GPU a condition costs more than the cutoffs: the host waits for it.
    return by_row if current_target() == "gpu" else either


def where_rows(condition: tf.Tensor, then: T, otherwise: T) -> T:
    """Chooses by row, condition bool [rows], between two nests of [rows, ...]."""

    def choose(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
        return tf.where(tf.reshape(condition, [-1] + [1] * (len(a.shape) - 1)), a, b)

    return tf.nest.map_structure(choose, then, otherwise)


def _weights(logits: tf.Tensor) -> tf.Tensor:
    """Probabilities relative to the largest one."""
    return tf.exp(logits - tf.reduce_max(logits, axis=-1, keepdims=True))


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
