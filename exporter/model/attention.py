"""Attention over segments.

A query attends over several segments of keys and values at once (the prompt's, the generated ones): scores of
all segments go through one softmax, and the value products add up. A segment may be kept once for several
rows (a prompt's beams); its product then runs over all of them together.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import tensorflow as tf

from exporter.model.differential import Change, difference
from exporter.model.layers import Weights, capped, linear, norm, rounded, times
from exporter.model.rotary import Position, rotate
from exporter.spec import AttentionSpec, QkNormScope

# Added to the scores of masked keys. Finite, so that a row without any key gives a mean instead of NaN.
MASKED = -1e30


class Bias(NamedTuple):
    """What is added to scores; float32, both broadcast to [rows, heads, k, length].

    Two tensors, because their full sum would be the largest one of a long prompt.

    Attributes:
      mask: MASKED where a key must not be seen.
      relative: by distance, or None.
    """

    mask: tf.Tensor
    relative: tf.Tensor | None = None


class Segment(NamedTuple):
    """Keys and values that a step attends over.

    Attributes:
      keys, values: [rows / copies * kv_heads, length, head_dim]; values of () are the keys themselves.
      bias: of these keys.
    """

    keys: tf.Tensor
    values: Any
    bias: Bias


def project(
    x: tf.Tensor, weights: Weights, spec: AttentionSpec, position: Position
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """[rows, k, hidden] -> query [rows, k, heads, head_dim], key and value [rows * kv_heads, k, head_dim]."""
    qkv = linear(x, weights, "attention.qkv", bias_apart=spec.bias_apart)
    size = spec.widths[1]
    widths = [spec.heads * spec.head_dim, spec.kv_heads * spec.head_dim, spec.kv_heads * size]
    query, key, value = tf.split(qkv, widths, axis=-1)
    return finished(query, key, value, weights, spec, position)


def finished(
    query: tf.Tensor,
    key: tf.Tensor,
    value: tf.Tensor,
    weights: Weights,
    spec: AttentionSpec,
    position: Position,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """What is projected, [rows, k, heads * size] each -> as of ``project``."""
    query = _query(query, weights, spec, position)
    key = _turned(key, weights, "attention.k_norm", spec, spec.kv_heads, position)
    value = times(_split(_clipped(value, spec), spec.kv_heads, spec.widths[1]), spec.value_scale)
    return query, _by_head(key), _by_head(norm(value, weights, "attention.v_norm", spec.value_norm))


def project_borrower(x: tf.Tensor, weights: Weights, spec: AttentionSpec, position: Position) -> tf.Tensor:
    """As ``project``, of a layer that reads another one's keys and values: the query alone."""
    return _query(linear(x, weights, "attention.q"), weights, spec, position)


def project_query(x: tf.Tensor, weights: Weights, spec: AttentionSpec) -> tf.Tensor:
    """Cross-attention: [rows, k, hidden] -> query [rows, k, heads, head_dim]."""
    return _split(linear(x, weights, "cross.q"), spec.heads, spec.head_dim)


def project_memory(x: tf.Tensor, weights: Weights, spec: AttentionSpec) -> tuple[tf.Tensor, tf.Tensor]:
    """Cross-attention: encoder states [batch, length, hidden] -> key and value, as in ``project``."""
    key, value = tf.split(linear(x, weights, "cross.kv"), 2, axis=-1)
    return tuple(_by_head(_split(part, spec.kv_heads, spec.head_dim)) for part in (key, value))


def _by_head(x: tf.Tensor) -> tf.Tensor:
    """[rows, k, kv_heads, head_dim] -> [rows * kv_heads, k, head_dim]."""
    x = tf.transpose(x, [0, 2, 1, 3])
    return tf.reshape(x, [-1, tf.shape(x)[2], x.shape[3]])


def _query(x: tf.Tensor, weights: Weights, spec: AttentionSpec, position: Position) -> tf.Tensor:
    """What is projected for the query -> [rows, k, heads, head_dim], as it is compared with keys."""
    query = _turned(x, weights, "attention.q_norm", spec, spec.heads, position)
    if position.query_scale is not None:
        query *= tf.cast(position.query_scale, query.dtype)[:, :, tf.newaxis, tf.newaxis]
    return query


def _turned(
    x: tf.Tensor, weights: Weights, name: str, spec: AttentionSpec, heads: int, position: Position
) -> tf.Tensor:
    """[rows, k, heads * head_dim] -> [rows, k, heads, head_dim], normalised as the spec says, and turned."""
    whole = spec.qk_norm_scope is QkNormScope.ALL
    x = _clipped(norm(x, weights, name, spec.qk_norm) if whole else x, spec)
    x = _split(x, heads, spec.head_dim)
    if not whole and not spec.qk_norm_last:
        x = norm(x, weights, name, spec.qk_norm)
    if spec.rotary is not None:
        x = rotate(x, position.cosine, position.sine, spec.rotary)
    return norm(x, weights, name, spec.qk_norm) if spec.qk_norm_last else x


def _clipped(x: tf.Tensor, spec: AttentionSpec) -> tf.Tensor:
    return x if spec.clip is None else tf.clip_by_value(x, -spec.clip, spec.clip)


def _split(x: tf.Tensor, heads: int, head_dim: int) -> tf.Tensor:
    return tf.reshape(x, tf.concat([tf.shape(x)[:2], [heads, head_dim]], axis=0))


def attend(
    query: tf.Tensor, segments: list[tuple[Segment, int | None]], spec: AttentionSpec, weights: Weights
) -> tf.Tensor:
    """One softmax over all segments.

    Scores are laid out [prompts, kv_heads, copies, groups, k, length], as the products make them, where all
    segments have the same ``copies``; else row by row, with 1 in the place of copies. A segment of which all
    rows share one entry is laid out as the others are.

    Args:
      query: [rows, k, heads, head_dim].
      segments: each with its ``copies``: how many adjacent rows share one entry of it; None: all rows do.

    Returns:
      [rows, k, heads * width of the values].
    """
    if spec.difference is not None:
        plain = replace(spec, difference=None)

        def changed(change: Change) -> tf.Tensor:
            own = [(segment._replace(values=change(segment.values)), copies) for segment, copies in segments]
            return attend(query, own, plain, weights)

        return difference(changed, spec, weights)
    dtype, kinds = query.dtype, {copies for _, copies in segments if copies is not None}
    common = kinds.pop() if len(kinds) == 1 else 1
    query = scaled(query, spec)
    scores = [_scores(query, segment, copies, common, spec) for segment, copies in segments]
    if spec.sinks:
        sinks = tf.reshape(tf.cast(weights["attention.sinks"], tf.float32), [1, spec.kv_heads, 1, -1, 1, 1])
        scores.append(tf.broadcast_to(sinks, tf.concat([tf.shape(scores[0])[:5], [1]], axis=0)))
    shares = tf.cast(_softmax(scores[0] if len(scores) == 1 else tf.concat(scores, axis=-1)), dtype)
    columns = tf.stack([tf.shape(part)[-1] for part in scores])
    parts = [shares] if len(scores) == 1 else tf.split(shares, columns, axis=-1, num=len(scores))
    values = [
        _values(part, segment, copies, common, spec)
        for part, (segment, copies) in zip(parts, segments, strict=False)  # the sinks carry no value
    ]
    total = values[0] if len(values) == 1 else tf.add_n(values)
    # [prompts, kv_heads, copies, groups, k, width] -> [rows, k, heads * width]
    total, width = tf.transpose(total, [0, 2, 4, 1, 3, 5]), _carried(segments[0][0]).shape[-1]
    return tf.reshape(total, [-1, tf.shape(query)[1], spec.heads * width])


def _carried(segment: Segment) -> tf.Tensor:
    """The segment's values."""
    return segment.values if tf.is_tensor(segment.values) else segment.keys


def _softmax(scores: tf.Tensor) -> tf.Tensor:
    """Over the last axis; the kernel outside compiled code takes few axes."""
    return tf.reshape(tf.nn.softmax(tf.reshape(scores, [-1, tf.shape(scores)[-1]])), tf.shape(scores))


def _scores(
    query: tf.Tensor, segment: Segment, sharing: int | None, common: int, spec: AttentionSpec
) -> tf.Tensor:
    """float32 [prompts, kv_heads, common, groups, k, length]."""
    k, groups = tf.shape(query)[1], spec.heads // spec.kv_heads
    copies = tf.shape(query)[0] if sharing is None else sharing
    # [rows, k, heads, head_dim] -> [prompts * kv_heads, copies * groups * k, head_dim]
    split = tf.reshape(query, [-1, copies, k, spec.kv_heads, groups, spec.head_dim])
    split = tf.reshape(tf.transpose(split, [0, 3, 1, 4, 2, 5]), [-1, copies * groups * k, spec.head_dim])
    scores = finished_scores(tf.matmul(split, segment.keys, transpose_b=True), spec)
    scores = tf.reshape(scores, [-1, spec.kv_heads, copies, groups, k, tf.shape(segment.keys)[1]])
    if sharing != common:
        scores = _regrouped(scores, common)
    for bias in segment.bias:
        scores = scores if bias is None else scores + _spread(bias, common, spec)
    return scores


def scaled(query: tf.Tensor, spec: AttentionSpec) -> tf.Tensor:
    """The query as it meets keys; scores that are capped are scaled behind the product."""
    return query if spec.softcap is not None else times(query, spec.scale)


def finished_scores(product: tf.Tensor, spec: AttentionSpec) -> tf.Tensor:
    """Queries times keys -> float32 scores. Where these are capped, all rounds as in the reference."""
    if spec.softcap is None:
        return tf.cast(product, tf.float32)
    dtype = product.dtype
    return capped(rounded(rounded(product, dtype) * spec.scale, dtype), spec.softcap, dtype)


def _regrouped(x: tf.Tensor, copies: int | tf.Tensor) -> tf.Tensor:
    """[prompts, kv_heads, *, groups, k, n] -> the same rows with another number of copies in third place."""
    x = tf.transpose(x, [0, 2, 1, 3, 4, 5])
    by_copy = tf.reshape(x, tf.concat([[-1, copies], tf.shape(x)[2:]], axis=0))
    return tf.transpose(by_copy, [0, 2, 1, 3, 4, 5])


def _values(
    shares: tf.Tensor, segment: Segment, sharing: int | None, common: int, spec: AttentionSpec
) -> tf.Tensor:
    """[prompts, kv_heads, common, groups, k, length] -> the same with the values' width instead of length."""
    values = _carried(segment)
    groups, k, length = spec.heads // spec.kv_heads, tf.shape(shares)[4], tf.shape(values)[1]
    copies = tf.shape(shares)[0] * common if sharing is None else sharing
    if sharing != common:
        shares = _regrouped(shares, copies)
    sums = tf.matmul(tf.reshape(shares, [-1, copies * groups * k, length]), values)
    sums = tf.reshape(sums, [-1, spec.kv_heads, copies, groups, k, values.shape[-1]])
    return sums if sharing == common else _regrouped(sums, common)


def _spread(bias: tf.Tensor, copies: int, spec: AttentionSpec) -> tf.Tensor:
    """[rows or 1, heads or 1, k or 1, length] -> [prompts, kv_heads, copies, groups, k, length], or 1s."""
    rows = copies if bias.shape[0] != 1 else 1
    heads = [spec.kv_heads, spec.heads // spec.kv_heads] if bias.shape[1] != 1 else [1, 1]
    split = tf.reshape(bias, tf.concat([[-1, rows], heads, tf.shape(bias)[2:]], axis=0))
    return tf.transpose(split, [0, 2, 1, 3, 4, 5])
