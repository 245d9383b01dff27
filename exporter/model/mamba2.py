"""Mamba 2 (Dao and Gu 2024): a state space with one decay a head, read chunk by chunk."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import tensorflow as tf

from exporter.model.layers import Weights, linear, norm, rounded, times
from exporter.model.state import (
    State,
    activated,
    by_column,
    by_head,
    convolved,
    decays,
    masked,
    scanned,
)
from exporter.spec import Activation, Mamba2Spec, NormSpec

#: Columns of a chunk. What the reference's configs say of it changes no result.
CHUNK = 64


def mamba2(
    x: tf.Tensor, weights: Weights, spec: Mamba2Spec, state: State, real: tf.Tensor | None
) -> tuple[tf.Tensor, State]:
    """[rows, k, hidden] -> the same; ``real`` as of ``convolved``."""
    gate, mixed, step = _projected(x, weights, spec)
    mixed, window = convolved(mixed, weights, state.window, real, spec.activation)
    inner, before, behind = tf.split(mixed, spec.channels, axis=-1)
    step = _time_steps(step, weights, spec, prompt=real is not None)
    rate = -tf.exp(tf.cast(weights["state.decay"], tf.float32))
    inner = _split(inner, spec.heads, spec.head_dim)
    before, behind = (_split(part, spec.groups, spec.states) for part in (before, behind))
    if x.shape[1] == 1:
        read, memory = _step(state.memory, rate, step, inner, before, behind)
    else:
        inner, step, before, behind = (tf.cast(part, tf.float32) for part in (inner, step, before, behind))
        inputs = (inner * step[..., tf.newaxis], step * rate, before, behind)
        inputs = tuple(masked(part, real) for part in inputs)
        shape = (spec.heads, spec.head_dim)
        read, memory = scanned(partial(_chunk, spec), state.memory, inputs, shape, CHUNK)
    read += inner * tf.cast(weights["state.skip"], read.dtype)[:, tf.newaxis]
    read = tf.reshape(read, tf.concat([tf.shape(x)[:2], [spec.width]], axis=0))
    out = tf.cast(_gated(read, gate, weights, spec), x.dtype)
    return times(linear(out, weights, "state.out"), spec.out_scale), State(window, memory)


def _projected(x: tf.Tensor, weights: Weights, spec: Mamba2Spec) -> tuple[tf.Tensor, ...]:
    """The gate, what is convolved, and time steps; their factors are a vector in the model's dtype."""
    projected = linear(times(x, spec.in_scale), weights, "state.in")
    widths = [spec.width, *spec.channels, spec.heads]
    parts = tf.split(projected, widths, axis=-1)
    scales = [tf.constant(scale, projected.dtype) for scale in spec.scales]
    gate, *mixed, step = (part * scale for part, scale in zip(parts, scales, strict=True))
    return gate, tf.concat(mixed, axis=-1), step


def _time_steps(step: tf.Tensor, weights: Weights, spec: Mamba2Spec, *, prompt: bool) -> tf.Tensor:
    """[rows, k, heads] in the model's dtype, as their limits are."""
    dtype = step.dtype
    step = step + tf.cast(weights["state.dt_bias"], dtype)
    step = tf.cast(tf.math.softplus(tf.cast(step, tf.float32)), dtype)
    return tf.clip_by_value(step, *spec.limits) if prompt else step


def _split(x: tf.Tensor, heads: int, size: int) -> tf.Tensor:
    return tf.reshape(x, tf.concat([tf.shape(x)[:2], [heads, size]], axis=0))


def _step(
    memory: tf.Tensor,
    rate: tf.Tensor,
    step: tf.Tensor,
    inner: tf.Tensor,
    before: tf.Tensor,
    behind: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:
    """One token: [rows, 1, heads, head_dim], and the memory [rows, heads, states, head_dim].

    In the dtype of ``inner``, the model's, are what is added to the memory, and the memory as it is read; a
    prompt is read in float32.
    """
    step, inner, before, behind = (part[:, 0] for part in (step, inner, before, behind))
    heads = memory.shape[1] // before.shape[1]
    before, behind = (tf.repeat(part, heads, axis=1)[..., tf.newaxis] for part in (before, behind))
    decay = tf.exp(tf.cast(step, tf.float32) * rate)[:, :, tf.newaxis, tf.newaxis]
    added = step[:, :, tf.newaxis, tf.newaxis] * before * inner[:, :, tf.newaxis]
    memory = memory * decay + tf.cast(added, tf.float32)
    read = tf.reduce_sum(rounded(memory, inner.dtype) * tf.cast(behind, tf.float32), axis=-2)
    return tf.cast(read, inner.dtype)[:, tf.newaxis], memory


def _chunk(
    spec: Mamba2Spec,
    memory: tf.Tensor,
    inner: tf.Tensor,
    decay: tf.Tensor,
    before: tf.Tensor,
    behind: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:
    """A chunk's tokens: [rows, columns, heads, head_dim], and the memory behind them."""
    shape, heads = tf.shape(memory), spec.heads // spec.groups
    memory = tf.reshape(memory, [-1, spec.states, spec.head_dim])
    total, between = decays(by_head(decay))
    inner, before, behind = by_head(inner), by_head(before), by_head(behind)
    scores = tf.matmul(behind, before, transpose_b=True)  # [rows * groups, columns, columns]
    within = tf.matmul(tf.repeat(scores, heads, axis=0) * between, inner)
    before, behind = (tf.repeat(part, heads, axis=0) for part in (before, behind))
    since, left = tf.exp(total)[..., tf.newaxis], tf.exp(total[:, -1:] - total)[..., tf.newaxis]
    read = within + tf.matmul(behind * since, memory)
    memory = memory * since[:, -1:] + tf.matmul(before * left, inner, transpose_a=True)
    return by_column(read, spec.heads), tf.reshape(memory, shape)


def _gated(read: tf.Tensor, gate: tf.Tensor, weights: Weights, spec: Mamba2Spec) -> tf.Tensor:
    """[rows, k, width]: the gate, and the norm before or behind it.

    Of a prompt's, read in float32, the norm rounds nothing.
    """
    read, wide = tf.cast(read, tf.float32), read.dtype == tf.float32
    if spec.norm is None:
        return read * tf.cast(activated(gate, Activation.SILU), tf.float32)
    gate = activated(tf.cast(gate, tf.float32), Activation.SILU)
    kind = replace(spec.norm, round_first=False) if wide else spec.norm
    if spec.norm_first:
        return tf.cast(_normed(read, weights, spec, kind), tf.float32) * gate
    return _normed(read * gate, weights, spec, kind)


def _normed(x: tf.Tensor, weights: Weights, spec: Mamba2Spec, kind: NormSpec) -> tf.Tensor:
    """Over each group of features, with a scale for every feature."""
    grouped = tf.reshape(x, [*tf.unstack(tf.shape(x)[:2]), spec.groups, spec.width // spec.groups])
    own = {"norm.scale": tf.reshape(weights["state.norm.scale"], [spec.groups, -1])}
    return tf.reshape(norm(grouped, own, "norm", kind), tf.shape(x))
