"""Viterbi: the best way through words, all words in step, character by character."""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from exporter.tokenizer.models.paths import follow
from exporter.tokenizer.tables import on_cpu


class Words(NamedTuple):
    """Words as places and edges between them.

    A place stands before each character and at each word's end. At every place but a word's first an edge
    stops.
    """

    end: tf.Tensor  # bool[places]
    start: tf.Tensor  # int32[edges]
    stop: tf.Tensor  # int32[edges], in the same word
    score: tf.Tensor  # [edges], in the type that sums are kept in


def best_edges(words: Words, longest: int) -> tf.Tensor:
    """int32[n]: the edges of the best ways through the words, in the order of their places.

    Args:
      words: sums begin with 0 in each of them.
      longest: characters of the longest edge.
    """
    lattice = Lattice(words, longest)
    path, _ = lattice.best(lattice.totals(tf.zeros([tf.math.count_nonzero(words.end)], words.score.dtype)))
    return path


class Lattice:
    """Words, sorted once; walked with any sums to begin with."""

    def __init__(self, words: Words, longest: int) -> None:
        """See ``best_edges``."""
        self._words = words
        self._order = _by_depth(begins(words.end))
        self._steps = _steps(self._order, words, longest)

    def totals(self, base: tf.Tensor) -> tf.Tensor:
        """The greatest sum at each place.

        Only as many of the last places as an edge can span are at hand in a step, so that a long word costs
        no more per character than a short one.

        Args:
          base: [words], the sum that each word begins with.

        Returns:
          [places].
        """
        steps = self._steps
        count = tf.shape(steps.table)[0]
        totals = tf.TensorArray(base.dtype, count, element_shape=[None], infer_shape=False).write(0, base)

        def step(i: tf.Tensor, recent: tf.Tensor, totals: tf.TensorArray) -> tuple[tf.Tensor, tf.Tensor, Any]:
            begin, size, expired = tf.split(tf.gather(steps.table, i), 3)
            start, stop, score = (tf.slice(x, begin, size) for x in (steps.start, steps.stop, steps.score))
            new = tf.math.segment_max(tf.gather(recent, start) + score, stop)
            return i + 1, tf.concat([tf.slice(recent, expired, [-1]), new], 0), totals.write(i, new)

        _, _, totals = tf.while_loop(
            lambda i, recent, totals: i < count,
            on_cpu(step),
            (tf.constant(1), base, totals),
            shape_invariants=(tf.TensorShape([]), tf.TensorShape([None]), tf.TensorShape(None)),
        )
        return tf.gather(totals.concat(), self._order.number)

    def best(self, totals: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The best way through each word, of several the one whose last edge is the longest.

        Args:
          totals: [places], see ``totals``.

        Returns:
          int32[n], the edges on the way, in the order of their places; bool[places], whether one stops there.
        """
        end, start, stop, score = self._words
        count = tf.size(totals)
        # An edge is best if its sum is the one that its stop has kept; of several, the earliest start.
        wins = tf.where(tf.equal(tf.gather(totals, start) + score, tf.gather(totals, stop)))[:, 0]
        packed = tf.cast(tf.gather(start, wins), tf.int64) * (1 << 32) + wins
        best = tf.math.unsorted_segment_min(packed, tf.gather(stop, wins), count)
        arrived = best < tf.int64.max
        before = tf.where(arrived, tf.cast(best // (1 << 32), tf.int32), tf.range(count))
        reached = follow(before, tf.cast(tf.where(end)[:, 0], tf.int32)) & arrived
        return tf.cast(tf.boolean_mask(best, reached) % (1 << 32), tf.int32), reached


def begins(end: tf.Tensor) -> tf.Tensor:
    """bool[n]: the first place, and what follows an end; from bool[n], the ends."""
    return tf.concat([tf.ones_like(end[:1]), end[:-1]], 0)


class _ByDepth(NamedTuple):
    """Places, numbered by their depth in their word first."""

    depth: tf.Tensor  # int32[places]
    number: tf.Tensor  # int32[places]
    splits: tf.Tensor  # int32[depths + 1], depth i has the numbers splits[i] to splits[i + 1]


def _by_depth(first: tf.Tensor) -> _ByDepth:
    """Numbers places; bool[places], the first of each word: these keep their order."""
    index = tf.range(tf.size(first))
    base = tf.gather(tf.boolean_mask(index, first), tf.cumsum(tf.cast(first, tf.int32)) - 1)
    depth = index - base
    order = tf.argsort(depth, stable=True)
    number = tf.scatter_nd(order[:, None], index, tf.shape(index))
    counts = tf.math.bincount(depth, minlength=1)
    return _ByDepth(depth, number, tf.concat([[0], tf.cumsum(counts)], 0))


class _Steps(NamedTuple):
    """Edges in the order of their stops' depths."""

    start: tf.Tensor  # int32[edges], as a place in the numbers that are at hand in the step
    stop: tf.Tensor  # int32[edges], as a place in the step's own numbers
    score: tf.Tensor  # [edges]
    table: tf.Tensor  # int32[depths, 3]: the first edge, edges, how many numbers are not needed from then on


def _steps(order: _ByDepth, words: Words, longest: int) -> _Steps:
    sorting = tf.argsort(tf.gather(order.number, words.stop))
    start, stop, score = (tf.gather(x, sorting) for x in (words.start, words.stop, words.score))
    depth = tf.gather(order.depth, stop)
    depths = tf.size(order.splits) - 1
    oldest = tf.gather(order.splits, tf.maximum(tf.range(depths + 1) - longest, 0))
    counts = tf.math.bincount(depth, minlength=depths, maxlength=depths)
    table = tf.stack([tf.cumsum(counts, exclusive=True), counts, oldest[1:] - oldest[:-1]], 1)
    return _Steps(
        tf.gather(order.number, start) - tf.gather(oldest, depth),
        tf.gather(order.number, stop) - tf.gather(order.splits, depth),
        score,
        table,
    )
