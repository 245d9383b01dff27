"""Score biases: causality, padding, sliding windows, ALiBi, T5's relative buckets; once a step for each kind
of layer.

Only differences of positions and key positions matter, so padding on the left never shows.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from exporter.model.attention import MASKED, Bias
from exporter.model.relative import relative_bias
from exporter.spec import AlibiSpec, AttentionSpec, RelativeSpec


class Sight(NamedTuple):
    """What of an attention decides its biases; layers that agree in it share them.

    ``table`` is the layer that the table of relative biases belongs to; 0 where all layers share one.
    """

    window: int | None
    alibi: AlibiSpec | None
    relative: RelativeSpec | None = None
    table: int = 0

    @classmethod
    def of(cls, attention: AttentionSpec, layer: int = 0) -> Sight:
        """The sight of a layer's attention."""
        relative = attention.relative
        own_table = relative is not None and relative.per_layer
        return cls(attention.window, attention.alibi, relative, layer if own_table else 0)


def source_bias(sight: Sight, lengths: tf.Tensor, length: tf.Tensor, table: tf.Tensor | None = None) -> Bias:
    """An encoder's right-padded input attending to itself, in both directions; arguments as of the others."""
    column = tf.range(length)
    distance = column[:, tf.newaxis] - column  # [query, key]
    seen = (column < lengths[:, tf.newaxis])[:, tf.newaxis]  # [batch, 1, key]
    if sight.window is not None:
        seen &= tf.abs(distance) < sight.window
    return Bias(tf.where(seen[:, tf.newaxis], 0.0, MASKED), relative_bias(sight.relative, table, distance))


def memory_bias(lengths: tf.Tensor, length: tf.Tensor) -> Bias:
    """Cross-attention to the encoder's states: only padding is hidden."""
    seen = tf.range(length) < lengths[:, tf.newaxis]
    return Bias(tf.where(seen, 0.0, MASKED)[:, tf.newaxis, tf.newaxis])


def prefix_bias(sight: Sight, length: int, kept: int, query: tf.Tensor) -> Bias:
    """Later tokens attending to the baked prefix, which every row has at positions 0 ... length - 1.

    Args:
      kept: how many of its last columns the layer keeps.
      query: int32 [rows, k], positions of the tokens.
    """
    position = tf.range(length - kept, length)[tf.newaxis]  # [1, kept]
    seen = tf.ones([1, 1, kept], tf.bool)
    if sight.window is not None:
        seen = query[:, :, tf.newaxis] - position[:, tf.newaxis] < sight.window  # [rows, k, kept]
    return Bias(_mask(sight.alibi, seen, position))


def prompt_bias(
    sight: Sight, lengths: tf.Tensor, length: tf.Tensor, table: tf.Tensor | None = None, start: int = 0
) -> Bias:
    """The left-padded prompt attending to itself.

    Args:
      lengths: int32 [batch], the prompt's tokens in each row.
      length: int32 [], the bucket.
      table: float32 [buckets, heads], the relative biases; None without.
      start: the position of a prompt's first token: the length of the baked prefix.
    """
    column = tf.range(length)
    distance = column[:, tf.newaxis] - column  # [query, key]
    seen = distance >= 0
    if sight.window is not None:
        seen &= distance < sight.window
    position = column - (length - lengths[:, tf.newaxis])  # [batch, key]
    seen &= (position >= 0)[:, tf.newaxis]
    return Bias(_mask(sight.alibi, seen, position + start), relative_bias(sight.relative, table, distance))


def past_bias(
    sight: Sight,
    lengths: tf.Tensor,
    length: tf.Tensor,
    kept: tf.Tensor,
    query: tf.Tensor,
    table: tf.Tensor | None = None,
    start: int = 0,
) -> Bias:
    """Later tokens attending to the prompt.

    Args:
      lengths: int32 [rows], the prompt's tokens in each row.
      length: int32 [], the bucket.
      kept: int32 [], how many of its last columns the layer keeps.
      query: int32 [rows, k], positions of the tokens.
      table, start: as in ``prompt_bias``.
    """
    column = length - kept + tf.range(kept)
    position = column - (length - lengths[:, tf.newaxis])  # [rows, kept]
    seen = (position >= 0)[:, tf.newaxis]
    position += start
    distance = query[:, :, tf.newaxis] - position[:, tf.newaxis]  # [rows, k, kept]
    if sight.window is not None:
        seen &= distance < sight.window
    return Bias(_mask(sight.alibi, seen, position), relative_bias(sight.relative, table, distance))


def generated_bias(
    sight: Sight,
    lengths: tf.Tensor,
    tokens: tf.Tensor,
    query: tf.Tensor,
    table: tf.Tensor | None = None,
    owned: tf.Tensor | None = None,
) -> Bias:
    """Generated tokens attending to generated ones.

    Args:
      lengths: int32 [rows], tokens in front of each row's generated ones: baked prefix and prompt.
      tokens: int32 [1 or rows, slots], the generated token in each slot.
      query: int32 [1 or rows, k], indices of the querying tokens among the generated.
      table: as in ``prompt_bias``.
      owned: bool [rows, slots], the slots that are a row's own, or None where all are.
    """
    distance = query[:, :, tf.newaxis] - tokens[:, tf.newaxis]
    seen = (distance >= 0) & (tokens >= 0)[:, tf.newaxis]
    if sight.window is not None:
        seen &= distance < sight.window
    if owned is not None:
        seen &= owned[:, tf.newaxis]
    mask = _mask(sight.alibi, seen, lengths[:, tf.newaxis] + tokens if sight.alibi else tokens)
    return Bias(mask, relative_bias(sight.relative, table, distance))


def _mask(alibi: AlibiSpec | None, seen: tf.Tensor, position: tf.Tensor) -> tf.Tensor:
    """bool [rows, k, keys] and key positions [rows, keys] -> float32 [rows, heads or 1, k, keys]."""
    seen = seen[:, tf.newaxis]
    if alibi is None:
        return tf.where(seen, 0.0, MASKED)
    slopes, position = (tf.cast(part, alibi.multiplied) for part in (tf.constant(alibi.slopes), position))
    slope = slopes[:, tf.newaxis] * position[:, tf.newaxis]  # [rows, heads, keys]
    slope = tf.cast(tf.cast(slope, alibi.rounded), tf.float32)
    slope *= alibi.scale
    return tf.where(seen, slope[:, :, tf.newaxis], MASKED)
