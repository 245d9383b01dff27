"""Score biases: causality, padding, sliding windows and ALiBi, computed once a step for each kind of layer.

Only differences of positions and key positions matter, so padding on the left never shows.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from exporter.model.attention import MASKED
from exporter.spec import AlibiSpec, AttentionSpec


class Sight(NamedTuple):
    """What of an attention decides its biases; layers that agree in it share them."""

    window: int | None
    alibi: AlibiSpec | None

    @classmethod
    def of(cls, attention: AttentionSpec) -> Sight:
        """The sight of an attention."""
        return cls(attention.window, attention.alibi)


def prompt_bias(sight: Sight, lengths: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
    """The prompt attending to itself: float32 [batch, heads or 1, length, length]."""
    column = tf.range(length)
    distance = column[:, tf.newaxis] - column  # [query, key]
    seen = distance >= 0
    if sight.window is not None:
        seen &= distance < sight.window
    position = column - (length - lengths[:, tf.newaxis])  # [batch, key]
    seen &= (position >= 0)[:, tf.newaxis]
    return _bias(sight.alibi, seen, position)


def past_bias(
    sight: Sight, lengths: tf.Tensor, length: tf.Tensor, kept: tf.Tensor, query: tf.Tensor
) -> tf.Tensor:
    """Later tokens attending to the prompt.

    Args:
      lengths: int32 [rows], the prompt's tokens in each row.
      length: int32 [], the bucket.
      kept: int32 [], how many of its last columns the layer keeps.
      query: int32 [rows, k], positions of the tokens.

    Returns:
      float32 [rows, heads or 1, k or 1, kept].
    """
    column = length - kept + tf.range(kept)
    position = column - (length - lengths[:, tf.newaxis])  # [rows, kept]
    seen = (position >= 0)[:, tf.newaxis]
    if sight.window is not None:
        seen &= query[:, :, tf.newaxis] - position[:, tf.newaxis] < sight.window
    return _bias(sight.alibi, seen, position)


def generated_bias(sight: Sight, lengths: tf.Tensor, tokens: tf.Tensor, query: tf.Tensor) -> tf.Tensor:
    """Generated tokens attending to generated ones.

    Args:
      lengths: int32 [rows], the prompt's tokens in each row.
      tokens: int32 [1 or rows, capacity], the generated token in each slot.
      query: int32 [1 or rows, k], indices of the querying tokens among the generated.

    Returns:
      float32 [1 or rows, heads or 1, k, capacity].
    """
    distance = query[:, :, tf.newaxis] - tokens[:, tf.newaxis]
    seen = (distance >= 0) & (tokens >= 0)[:, tf.newaxis]
    if sight.window is not None:
        seen &= distance < sight.window
    return _bias(sight.alibi, seen, lengths[:, tf.newaxis] + tokens if sight.alibi else tokens)


def _bias(alibi: AlibiSpec | None, seen: tf.Tensor, position: tf.Tensor) -> tf.Tensor:
    """bool [rows, k, keys] and key positions [rows, keys] -> float32 [rows, heads or 1, k, keys]."""
    seen = seen[:, tf.newaxis]
    if alibi is None:
        return tf.where(seen, 0.0, MASKED)
    slopes, position = tf.constant(alibi.slopes), tf.cast(position, tf.float32)
    if alibi.rounded:
        # The reference's falcon multiplies in bfloat16.
        slopes, position = tf.cast(slopes, tf.bfloat16), tf.cast(position, tf.bfloat16)
    slope = tf.cast(slopes[:, tf.newaxis] * position[:, tf.newaxis], tf.float32)  # [rows, heads, keys]
    return tf.where(seen, slope[:, :, tf.newaxis], MASKED)
