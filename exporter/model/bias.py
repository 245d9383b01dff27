"""Score biases: causality, padding, sliding windows, ALiBi, T5's relative buckets.

A prompt's are made for the columns that are asked for, block by block (``exporter.model.blocks``); a step's
once for each kind of layer. Only differences of positions and key positions matter, so padding on the left
never shows.
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
    chunked: bool = False

    @classmethod
    def of(cls, attention: AttentionSpec | None, layer: int = 0) -> Sight:
        """The sight of a layer's attention; of none where it has none."""
        if attention is None:
            return cls(None, None)
        relative = attention.relative
        own_table = relative is not None and relative.per_layer
        return cls(attention.window, attention.alibi, relative, layer if own_table else 0, attention.chunked)


class Text(NamedTuple):
    """A batch of padded texts, each of which attends to itself.

    Attributes:
      lengths: int32 [batch], tokens in each row.
      length: int32 [], columns: the bucket.
      table: float32 [buckets, heads], the relative biases; None without.
    """

    lengths: tf.Tensor
    length: tf.Tensor
    table: tf.Tensor | None = None

    def positions(self, column: tf.Tensor) -> tf.Tensor:
        """int32 [batch, columns]: which of a left-padded row's tokens stand in ``column``; negative: none."""
        return column - (self.length - self.lengths[:, tf.newaxis])


def source_bias(sight: Sight, text: Text, query: tf.Tensor, key: tf.Tensor) -> Bias:
    """An encoder's right-padded input attending to itself, in both directions; see ``prompt_bias``."""
    distance = query[:, tf.newaxis] - key
    seen = ((key >= 0) & (key < text.lengths[:, tf.newaxis]))[:, tf.newaxis]  # [batch, 1, key]
    if sight.window is not None:
        seen &= tf.abs(distance) < sight.window
    return Bias(
        tf.where(seen[:, tf.newaxis], 0.0, MASKED), relative_bias(sight.relative, text.table, distance)
    )


def memory_bias(lengths: tf.Tensor, length: tf.Tensor) -> Bias:
    """Cross-attention to the encoder's states: only padding is hidden."""
    seen = tf.range(length) < lengths[:, tf.newaxis]
    return Bias(tf.where(seen, 0.0, MASKED)[:, tf.newaxis, tf.newaxis])


def prefix_bias(sight: Sight, first: int, query: tf.Tensor, key: tf.Tensor) -> Bias:
    """Later tokens attending to the baked prefix, which every row has in front.

    Args:
      first: the position of the first column that the layer keeps.
      query: int32 [rows, k], positions of the tokens.
      key: int32 [keys], columns; negative ones are padding.
    """
    seen, position = (key >= 0)[tf.newaxis, tf.newaxis], (first + key)[tf.newaxis]
    distance = query[:, :, tf.newaxis] - position[:, tf.newaxis]  # [rows, k, keys]
    seen = _near(sight, seen, distance, query)
    return Bias(_mask(sight.alibi, seen, position))


def prompt_bias(sight: Sight, text: Text, start: int, query: tf.Tensor, key: tf.Tensor) -> Bias:
    """Some columns of the left-padded prompt attending to some.

    Args:
      text: the prompts behind the baked prefix.
      start: the position of a prompt's first token: the length of the baked prefix.
      query, key: int32 [queries] and [keys], columns; negative ones are padding.
    """
    distance = query[:, tf.newaxis] - key
    position = text.positions(key)  # [batch, key]
    seen = _near(sight, distance >= 0, distance, text.positions(query) + start)
    seen &= (position >= 0)[:, tf.newaxis]
    relative = relative_bias(sight.relative, text.table, distance)
    return Bias(_mask(sight.alibi, seen, position + start), relative)


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
      table: float32 [buckets, heads], the relative biases; None without.
      start: the position of a prompt's first token.
    """
    column = length - kept + tf.range(kept)
    position = column - (length - lengths[:, tf.newaxis])  # [rows, kept]
    seen = (position >= 0)[:, tf.newaxis]
    position += start
    distance = query[:, :, tf.newaxis] - position[:, tf.newaxis]  # [rows, k, kept]
    seen = _near(sight, seen, distance, query)
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
      table: as in ``past_bias``.
      owned: bool [rows, slots], the slots that are a row's own, or None where all are.
    """
    distance = query[:, :, tf.newaxis] - tokens[:, tf.newaxis]
    seen = (distance >= 0) & (tokens >= 0)[:, tf.newaxis]
    seen = _near(sight, seen, distance, lengths[:, tf.newaxis] + query)
    if owned is not None:
        seen &= owned[:, tf.newaxis]
    mask = _mask(sight.alibi, seen, lengths[:, tf.newaxis] + tokens if sight.alibi else tokens)
    return Bias(mask, relative_bias(sight.relative, table, distance))


def _near(sight: Sight, seen: tf.Tensor, distance: tf.Tensor, query: tf.Tensor) -> tf.Tensor:
    """``seen`` without the keys that a window hides.

    Args:
      distance: int32 [..., k, keys], of keys from queries.
      query: int32 [rows, k], positions of the queries.
    """
    if sight.window is None:
        return seen
    if sight.chunked:
        return seen & (distance <= (query % sight.window)[:, :, tf.newaxis])
    return seen & (distance < sight.window)


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
