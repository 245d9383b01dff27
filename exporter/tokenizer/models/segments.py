"""The best ways through whole texts, with float32 sums that are rounded from a text's beginning on.

The rounding decides between divisions that are equally good, or nearly so, and a sum depends on all that was
before it. Yet every way passes a place that no edge spans, and one sum there is all that the rest of the text
knows of what was before. So texts fall into segments, most of them words. These are solved side by side, each
from a guess of the sum that it begins with. A guess is proved when the segment before, proved itself, ends
with this very sum; a text's first segment begins with 0. When all are proved, the ways are those of a single
pass through the whole text, however the guesses were come by: they are the sums along the last pass's ways,
whose few wrong turns change no more than a last bit.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from exporter.tokenizer.models.viterbi import Lattice, Words, begins
from exporter.tokenizer.tables import on_cpu

_PASSES = 8  # after which a text is taken as a whole; English needs two, seldom three
_TABLE = 1 << 24  # numbers in a table of texts and places, at most: 64 MB


def best_edges(texts: Words, longest: int) -> tf.Tensor:
    """int32[n]: the edges of the best ways through the texts, in the order of their places.

    Args:
      texts: sums begin with 0 in each of them.
      longest: characters of the longest edge.
    """
    text = tf.cumsum(tf.cast(texts.end, tf.int32), exclusive=True)

    def attempt(cut: tf.Tensor, _: tf.Tensor, __: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        found = solve(texts, cut, longest)
        return cut & tf.gather(found.proved, text), found.path, tf.reduce_all(found.proved)

    # Ends with the second attempt: a text that is not cut is proved in one pass.
    _, path, _ = tf.while_loop(
        lambda cut, path, proved: ~proved,
        on_cpu(attempt),
        (worthwhile(texts, cuts(texts)), tf.zeros([0], tf.int32), tf.constant(False)),
        shape_invariants=(tf.TensorShape([None]), tf.TensorShape([None]), tf.TensorShape([])),
    )
    return path


def cuts(texts: Words) -> tf.Tensor:
    """bool[places]: the places inside the texts that no edge spans."""
    ones, size = tf.ones_like(texts.start), tf.shape(texts.end)
    opened = tf.scatter_nd((texts.start + 1)[:, None], ones, size)  # spanned from here
    closed = tf.scatter_nd(texts.stop[:, None], ones, size)  # up to here
    return tf.equal(tf.cumsum(opened - closed), 0) & ~texts.end & ~begins(texts.end)


def worthwhile(texts: Words, cut: tf.Tensor) -> tf.Tensor:
    """``cut``, or no cut at all where three passes take as many steps as one through the whole texts."""
    whole = _longest(texts.end)
    table = tf.math.count_nonzero(texts.end) * tf.cast(whole, tf.int64)
    return cut & (_longest(texts.end | cut) <= whole // 3) & (table <= _TABLE)


def _longest(end: tf.Tensor) -> tf.Tensor:
    """int32: places from one end to the next, at most."""
    ends = tf.cast(tf.where(end)[:, 0], tf.int32)
    return tf.reduce_max(ends - tf.concat([[-1], ends[:-1]], 0))


class Solution(NamedTuple):
    """What the passes came to."""

    path: tf.Tensor  # int32[n], edges in the order of their places
    proved: tf.Tensor  # bool[texts]
    passes: tf.Tensor  # int32


def solve(texts: Words, cut: tf.Tensor, longest: int) -> Solution:
    """Passes over the segments between the cuts until all are proved, or patience ends; cut: bool[places]."""
    segments = _segments(texts, cut)
    lattice = Lattice(segments.words, longest)

    def step(
        i: tf.Tensor, base: tf.Tensor, _: tf.Tensor, __: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        totals = lattice.totals(base)
        path, reached = lattice.best(totals)
        ends = tf.gather(totals, segments.last)
        follows = tf.where(segments.first, 0.0, tf.concat([tf.zeros([1]), ends[:-1]], 0))
        guess = _sums(segments, tf.gather(texts.score, path), reached)
        return i + 1, guess, path, tf.equal(base, follows)

    base = tf.zeros_like(segments.last, tf.float32)
    passes, _, path, proved = tf.while_loop(
        lambda i, base, path, proved: (i < _PASSES) & ~tf.reduce_all(proved),
        on_cpu(step),
        (tf.constant(0), base, tf.zeros([0], tf.int32), tf.zeros_like(segments.first)),
        shape_invariants=(tf.TensorShape([]), *[tf.TensorShape([None])] * 3),
    )
    wrong = tf.math.segment_sum(tf.cast(~proved, tf.int32), segments.text)
    return Solution(path, tf.equal(wrong, 0), passes)


class _Segments(NamedTuple):
    """Texts, cut: where they are, there are two places, one segment's end and the next one's beginning."""

    words: Words
    last: tf.Tensor  # int32[segments], the last place of each
    first: tf.Tensor  # bool[segments], whether a text begins with it
    text: tf.Tensor  # int32[segments]


def _segments(texts: Words, cut: tf.Tensor) -> _Segments:
    added = tf.cast(cut, tf.int32)
    as_start = tf.range(tf.size(cut)) + tf.cumsum(added)
    as_stop = as_start - added
    is_last = cut | texts.end
    last = tf.boolean_mask(as_stop, is_last)
    places = tf.size(cut) + tf.reduce_sum(added)
    end = tf.scatter_nd(last[:, None], tf.ones_like(last, tf.bool), places[None])
    start, stop = tf.gather(as_start, texts.start), tf.gather(as_stop, texts.stop)
    closes = tf.boolean_mask(texts.end, is_last)
    text = tf.cumsum(tf.cast(closes, tf.int32), exclusive=True)
    return _Segments(Words(end, start, stop, texts.score), last, begins(closes), text)


def _sums(segments: _Segments, score: tf.Tensor, reached: tf.Tensor) -> tf.Tensor:
    """float32[segments]: the sums along the ways, from each text's beginning up to the segment's.

    Args:
      segments: n of them.
      score: float32[path], in the order of the places.
      reached: bool[places], where an edge of the path stops.
    """
    counts = tf.gather(tf.cumsum(tf.cast(reached, tf.int32)), segments.last)
    before = tf.concat([[0], counts[:-1]], 0)
    starts = tf.boolean_mask(before, segments.first)  # [texts], edges before each
    rows = tf.RaggedTensor.from_row_starts(score, starts, validate=False).to_tensor()
    sums = tf.cumsum(tf.pad(rows, [[0, 0], [1, 0]]), 1)
    place = before - tf.gather(starts, segments.text)
    return tf.gather_nd(sums, tf.stack([segments.text, place], 1))
