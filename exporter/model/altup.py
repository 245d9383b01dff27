"""AltUp (Baykal et al. 2023): a residual stream of several parts, [rows, k, parts, hidden].

The embedding is spread over all parts. A layer predicts every part as a mixture of all, computes the active
one of these, and corrects each by its share of what the active one gained; shares are made of the active
part. Behind the layers the parts are merged. Where the stream has one part, what reads and writes it here
takes it as it is.

Source: ``Gemma3nTextAltUp``, ``Gemma3nTextModel``; half precision rounds where they round.
"""

from __future__ import annotations

import tensorflow as tf

from exporter.model.layers import Weights, linear, norm, plain
from exporter.spec import Activation, AltUpSpec

#: What the reference takes for the mean square of a part at least.
_LEAST = 1e-5


def spread(weights: Weights, x: tf.Tensor, parts: int) -> tf.Tensor:
    """[rows, k, hidden] -> [rows, k, parts, hidden]: itself, and projections of it that are as large."""
    if parts == 1:
        return x
    others = linear(x, weights, "embedding.parts")
    others = tf.reshape(others, tf.concat([tf.shape(x)[:2], [parts - 1, x.shape[-1]]], axis=0))
    first = x[:, :, tf.newaxis]
    return tf.concat([first, _as_large(others, first)], axis=2)


def merged(weights: Weights, x: tf.Tensor, parts: int) -> tf.Tensor:
    """[rows, k, parts, hidden] -> [rows, k, hidden]: the mean of the first and of the others' projections."""
    if parts == 1:
        return x
    first, *others = tf.unstack(x, num=parts, axis=2)
    projected = [linear(other, weights, f"merged.{index}") for index, other in enumerate(others, 1)]
    return _mean(tf.stack([first, *(_as_large(other, first) for other in projected)], axis=-1))[..., 0]


def predicted(spec: AltUpSpec, weights: Weights, x: tf.Tensor) -> tf.Tensor:
    """The stream before a layer has computed its part: each part, and a mixture of all."""
    shares = linear(_coefficients(spec, weights, active(spec, x)), weights, "altup.predict")
    shares = tf.reshape(shares, tf.concat([tf.shape(x)[:2], [spec.parts, spec.parts]], axis=0))
    mixed = tf.matmul(tf.cast(shares, tf.float32), tf.cast(x, tf.float32))
    return tf.cast(mixed, x.dtype) + x


def corrected(spec: AltUpSpec, weights: Weights, x: tf.Tensor, computed: tf.Tensor) -> tf.Tensor:
    """What was predicted, with each part's share of what the active one gained by being computed."""
    shares = linear(_coefficients(spec, weights, computed), weights, "altup.correct") + 1.0
    gain = computed - active(spec, x)
    return gain[:, :, tf.newaxis] * shares[..., tf.newaxis] + x


def active(spec: AltUpSpec, x: tf.Tensor) -> tf.Tensor:
    """[rows, k, parts, hidden] -> [rows, k, hidden]: the part that a layer computes."""
    return x[:, :, spec.active]


def read_behind(spec: AltUpSpec | None, weights: Weights, x: tf.Tensor) -> tf.Tensor:
    """What a branch behind the layer reads of the stream."""
    if spec is None:
        return x
    return active(spec, x) * weights["altup.scale"] if spec.scaled else active(spec, x)


def add_behind(spec: AltUpSpec | None, x: tf.Tensor, branch: tf.Tensor) -> tf.Tensor:
    """The stream with such a branch: in every part but the first, whichever is active."""
    if spec is None:
        return x + branch
    return tf.concat([x[:, :, :1], x[:, :, 1:] + branch[:, :, tf.newaxis]], axis=2)


def _coefficients(spec: AltUpSpec, weights: Weights, x: tf.Tensor) -> tf.Tensor:
    """[rows, k, hidden] -> [rows, k, parts]."""
    normed = norm(x, weights, "altup.router_norm", spec.norm)
    routed = linear(normed * tf.cast(1.0 / x.shape[-1], x.dtype), weights, "altup.router")
    return plain(Activation.TANH, routed)


def _as_large(x: tf.Tensor, model: tf.Tensor) -> tf.Tensor:
    """``x`` with the root mean square that ``model`` has along the last axis."""
    own = tf.sqrt(tf.maximum(_mean(tf.square(x)), tf.cast(_LEAST, x.dtype)))
    return x * tf.sqrt(_mean(tf.square(model))) / own


def _mean(x: tf.Tensor) -> tf.Tensor:
    """Along the last axis, which stays; summed in float32."""
    return tf.cast(tf.reduce_mean(tf.cast(x, tf.float32), axis=-1, keepdims=True), x.dtype)
