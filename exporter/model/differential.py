"""Differential attention (Ye et al. 2024): one half of the heads' attention less a share of the other's.

Every head attends with the values of two key/value heads, one of each half of them, side by side.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import tensorflow as tf

from exporter.model.layers import Weights, times
from exporter.spec import AttentionSpec

#: Changes values [rows * kv_heads, length, head_dim].
Change = Callable[[tf.Tensor], tf.Tensor]


def difference(attend: Callable[[Change], tf.Tensor], spec: AttentionSpec, weights: Weights) -> tf.Tensor:
    """[rows, k, heads * head_dim], from an attention with values that are changed first."""
    assert spec.difference is not None
    contexts = [attend(partial(_of_half, half=half, spec=spec)) for half in (0, 1)]
    shape = tf.concat([tf.shape(contexts[0])[:2], [spec.heads, spec.head_dim]], axis=0)
    both = tf.concat([tf.reshape(context, shape) for context in contexts], axis=-1)
    first, second = tf.split(both, 2, axis=2)  # [rows, k, heads / 2, 2 * head_dim]
    x = first - _share(weights, spec, first.dtype) * second
    x, dtype = tf.cast(x, tf.float32), x.dtype
    x *= tf.math.rsqrt(tf.reduce_mean(tf.square(x), axis=-1, keepdims=True) + spec.difference.epsilon)
    x = times(tf.cast(x, dtype), 1.0 - spec.difference.initial)
    return tf.reshape(x, tf.concat([shape[:2], [spec.heads * spec.head_dim]], axis=0))


def _of_half(values: tf.Tensor, half: int, spec: AttentionSpec) -> tf.Tensor:
    """One half of the key/value heads in the place of both."""
    heads = tf.reshape(values, [-1, 2, spec.kv_heads // 2, tf.shape(values)[1], spec.head_dim])
    doubled = tf.reshape(tf.repeat(heads[:, half : half + 1], 2, axis=1), tf.shape(values))
    return tf.ensure_shape(doubled, values.shape)


def _share(weights: Weights, spec: AttentionSpec, dtype: tf.DType) -> tf.Tensor:
    """How much of the second half is taken off: learned, around a start that depends on the layer."""
    assert spec.difference is not None
    query_1, key_1, query_2, key_2 = tf.split(weights["attention.lambdas"], 4)
    first, second = (
        tf.cast(tf.exp(tf.reduce_sum(tf.cast(query * key, tf.float32))), dtype)
        for query, key in ((query_1, key_1), (query_2, key_2))
    )
    return first - second + tf.cast(spec.difference.initial, dtype)
