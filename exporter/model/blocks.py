"""Attention of long texts, block by block: scores of all queries and keys are never held at once.

Queries and keys are cut into blocks. For every pair of blocks that see each other, scores are weighed against
the largest one so far, and sums that were weighed against a smaller one are scaled down (Milakov and
Gimelshein 2018; Rabe and Staats 2021, section 3): exactly a softmax, in memory linear in the length. Blocks
that causality or a window hides are never computed. The number of passes follows from the shapes, so that
a GPU need not ask the host.

Where a length is no multiple of the block, columns are added on the left: they have negative numbers, as if
a bucket were longer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import tensorflow as tf

from exporter.choices import Target
from exporter.model.attention import MASKED, Bias, Segment, finished_scores, scaled
from exporter.model.differential import Change, difference
from exporter.model.layers import Weights
from exporter.model.xla_ops import update_entry
from exporter.spec import AttentionSpec
from exporter.targets import current_target

#: Columns of a block at most; see docs/performance-notes.md.
BLOCK: dict[Target, int] = {"gpu": 512, "cpu": 256}


class Span(NamedTuple):
    """Keys and values that a text's columns attend over.

    Attributes:
      keys, values: [batch * kv_heads, length, head_dim]; of a shared one [kv_heads, length, head_dim]. Values
        may have another width; () where the keys are both, which ``attend_in_blocks`` does not read.
      bias: from int32 [queries] and [keys], columns of either; negative ones must come out masked.
      behind, ahead: how many columns before and after its own a query can see; None: all.
      shared: all rows have the same.
    """

    keys: tf.Tensor
    values: Any
    bias: Callable[[tf.Tensor, tf.Tensor], Bias]
    behind: int | None = None
    ahead: int | None = None
    shared: bool = False

    def seen_by(self, query: tf.Tensor) -> tuple[Segment, int | None]:
        """As ``attend`` takes it, for queries in some columns (int32 [queries])."""
        column = tf.range(tf.shape(self.keys)[1])
        return Segment(self.keys, self.values, self.bias(query, column)), None if self.shared else 1


class Sums(NamedTuple):
    """What a softmax knows of the keys so far; float32.

    Attributes:
      largest: [blocks, batch * kv_heads, groups * size], the largest score.
      weight: as ``largest``, the sum of exp(score - largest).
      total: [blocks, batch * kv_heads, groups * size, width], the values' sum, weighed alike.
    """

    largest: tf.Tensor
    weight: tf.Tensor
    total: tf.Tensor


def attend_in_blocks(query: tf.Tensor, spans: list[Span], spec: AttentionSpec, weights: Weights) -> tf.Tensor:
    """[batch, length, heads, head_dim] -> [batch, length, heads * width of values]; one softmax over all."""
    if spec.difference is not None:
        plain = replace(spec, difference=None)

        def changed(change: Change) -> tf.Tensor:
            own = [span._replace(values=change(span.values)) for span in spans]
            return attend_in_blocks(query, own, plain, weights)

        return difference(changed, spec, weights)
    batch, length = tf.shape(query)[0], tf.shape(query)[1]
    size = _block_size(length)
    # [batch, length, heads, head_dim] -> [blocks, batch * kv_heads, groups * size, head_dim]
    groups = spec.heads // spec.kv_heads
    queries = _padded(scaled(query, spec), size)
    queries = tf.reshape(queries, [batch, -1, size, spec.kv_heads, groups, spec.head_dim])
    blocks = tf.shape(queries)[1]
    queries = tf.transpose(queries, [1, 0, 3, 4, 2, 5])
    queries = tf.reshape(queries, [blocks, batch * spec.kv_heads, groups * size, spec.head_dim])
    width = spans[0].values.shape[-1]
    sums = _before(queries, size, width, spec, weights)
    for span in spans:
        sums = _over(span, queries, sums, length, spec)
    context = tf.cast(sums.total / sums.weight[..., tf.newaxis], query.dtype)
    context = tf.reshape(context, [blocks, batch, spec.kv_heads, groups, size, width])
    context = tf.transpose(context, [1, 0, 4, 2, 3, 5])
    return tf.reshape(context, [batch, blocks * size, spec.heads * width])[:, -length:]


def _block_size(length: tf.Tensor) -> tf.Tensor:
    return tf.minimum(length, BLOCK[current_target()])


def _padded(x: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Columns (axis 1) are added on the left, up to whole blocks."""
    more = -tf.shape(x)[1] % size
    return tf.pad(x, [[0, 0], [more, 0], *[[0, 0]] * (len(x.shape) - 2)])


def _before(queries: tf.Tensor, size: tf.Tensor, width: int, spec: AttentionSpec, weights: Weights) -> Sums:
    """The sums before any key: an attention's sinks are scores that carry no value."""
    shape = tf.shape(queries)[:3]
    total = tf.zeros(tf.concat([shape, [width]], axis=0))
    if not spec.sinks:
        return Sums(tf.fill(shape, MASKED), tf.zeros(shape), total)
    sinks = tf.repeat(tf.cast(weights["attention.sinks"], tf.float32), size)  # [heads * size]
    sinks = tf.tile(tf.reshape(sinks, [spec.kv_heads, -1]), [shape[1] // spec.kv_heads, 1])
    return Sums(tf.broadcast_to(sinks, shape), tf.ones(shape), total)


def _over(span: Span, queries: tf.Tensor, sums: Sums, length: tf.Tensor, spec: AttentionSpec) -> Sums:
    """Adds the keys of one span: a pass for every pair of a block of queries and a block of keys."""
    blocks = tf.shape(queries)[0]
    size, key_size = _block_size(length), _block_size(tf.shape(span.keys)[1])
    keys, values = (_in_blocks(part, key_size) for part in (span.keys, span.values))
    first = -length % size, -tf.shape(span.keys)[1] % key_size
    pairs = Pairs.of(span, blocks, tf.shape(keys)[1], size)

    def step(index: tf.Tensor, i: tf.Tensor, j: tf.Tensor, sums: Sums) -> tuple[tf.Tensor, ...]:
        columns = i * size - first[0] + tf.range(size), j * key_size - first[1] + tf.range(key_size)
        key, value = tf.gather(keys, j, axis=1), tf.gather(values, j, axis=1)
        product = _times(tf.gather(queries, i), key, span.shared, transposed=True)
        scores = _scores(product, span.bias(*columns), spec)
        added = _added(Sums(*(tf.gather(part, i) for part in sums)), scores, value, span.shared)
        new = Sums(*(update_entry(part, entry, i) for part, entry in zip(sums, added, strict=True)))
        return index + 1, *pairs.after(i, j), new

    start = 0, 0, 0, sums
    return tf.while_loop(lambda index, *_: index < pairs.count, step, start)[-1]


def _in_blocks(x: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """[rows, length, head_dim] -> [rows, blocks, size, head_dim]."""
    x = _padded(x, size)
    return tf.reshape(x, [tf.shape(x)[0], -1, size, x.shape[-1]])


class Pairs(NamedTuple):
    """Pairs (i, j) of blocks of queries and keys that see each other: i - behind <= j <= i + ahead.

    Attributes:
      count: int32 [], how many.
      behind, ahead: int32 [].
      keys: int32 [], blocks of keys.
    """

    count: tf.Tensor
    behind: tf.Tensor
    ahead: tf.Tensor
    keys: tf.Tensor

    @classmethod
    def of(cls, span: Span, queries: tf.Tensor, keys: tf.Tensor, size: tf.Tensor) -> Pairs:
        """Of a span whose columns are the queries' own, or which all of them see."""
        if span.behind is None and span.ahead is None:
            return cls(queries * keys, queries - 1, keys - 1, keys)
        behind, ahead = (
            keys - 1 if columns is None else tf.minimum(keys - 1, (columns + size - 1) // size)
            for columns in (span.behind, span.ahead)
        )
        cut = behind * (behind + 1) // 2 + ahead * (ahead + 1) // 2
        return cls(keys * (behind + ahead + 1) - cut, behind, ahead, keys)

    def after(self, i: tf.Tensor, j: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The pair behind (i, j)."""
        last = j >= tf.minimum(i + self.ahead, self.keys - 1)
        return tf.where(last, i + 1, i), tf.where(last, tf.maximum(i + 1 - self.behind, 0), j + 1)


def _times(x: tf.Tensor, y: tf.Tensor, shared: bool, *, transposed: bool = False) -> tf.Tensor:
    """[batch * kv_heads, n, k] times [batch * kv_heads, k, m], or times one [kv_heads, k, m] for all rows.

    ``transposed``: ``y`` is [..., m, k].
    """
    if not shared:
        return tf.matmul(x, y, transpose_b=transposed)
    rows = tf.reshape(x, tf.concat([[-1, y.shape[0]], tf.shape(x)[1:]], axis=0))
    product = tf.einsum("bhnk,hmk->bhnm" if transposed else "bhnk,hkm->bhnm", rows, y)
    width = y.shape[1 if transposed else 2]
    return tf.reshape(product, [tf.shape(x)[0], tf.shape(x)[1], -1 if width is None else width])


def _scores(product: tf.Tensor, bias: Bias, spec: AttentionSpec) -> tf.Tensor:
    """float32 [batch * kv_heads, groups * size, keys], from queries times keys."""
    scores, groups = finished_scores(product, spec), spec.heads // spec.kv_heads
    shape, columns = tf.shape(scores), tf.shape(scores)[2]
    scores = tf.reshape(scores, [-1, spec.heads, shape[1] // groups, columns])
    for part in bias:
        scores = scores if part is None else scores + part
    return tf.reshape(scores, shape)


def _added(sums: Sums, scores: tf.Tensor, values: tf.Tensor, shared: bool) -> Sums:
    """The sums of one block of queries with one more block of keys."""
    largest = tf.maximum(sums.largest, tf.reduce_max(scores, axis=-1))
    shares, kept = tf.exp(scores - largest[..., tf.newaxis]), tf.exp(sums.largest - largest)
    more = tf.cast(_times(tf.cast(shares, values.dtype), values, shared), tf.float32)
    return Sums(
        largest,
        sums.weight * kept + tf.reduce_sum(shares, axis=-1),
        sums.total * kept[..., tf.newaxis] + more,
    )
