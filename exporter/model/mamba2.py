"""Mamba 2 (Dao and Gu 2024): a state space with one decay a head, read chunk by chunk."""

from __future__ import annotations

from functools import partial

import tensorflow as tf

from exporter.model.layers import Weights, linear, norm, times
from exporter.model.state import State, by_column, by_head, convolved, decays, masked, scanned
from exporter.spec import Mamba2Spec, NormSpec

#: Columns of a chunk. What the reference's configs say of it changes no result.
CHUNK = 64


def mamba2(
    x: tf.Tensor, weights: Weights, spec: Mamba2Spec, state: State, real: tf.Tensor | None
) -> tuple[tf.Tensor, State]:
    """[rows, k, hidden] -> the same; ``real`` as of ``convolved``."""
    gate, mixed, step = _projected(x, weights, spec)
    mixed, window = convolved(mixed, weights, state.window, real, spec.activation)
    inner, before, behind = tf.split(tf.cast(mixed, tf.float32), spec.channels, axis=-1)
    step = _time_steps(step, weights, spec, prompt=real is not None)
    rate = -tf.exp(tf.cast(weights["state.decay"], tf.float32))
    inner = _split(inner, spec.heads, spec.head_dim)
    inputs = (
        inner * step[..., tf.newaxis],
        step * rate,
        _split(before, spec.groups, spec.states),
        _split(behind, spec.groups, spec.states),
    )
    if x.shape[1] == 1:
        read, memory = _step(state.memory, *inputs)
    else:
        inputs = tuple(masked(part, real) for part in inputs)
        shape = (spec.heads, spec.head_dim)
        read, memory = scanned(partial(_chunk, spec), state.memory, inputs, shape, CHUNK)
    read += inner * tf.cast(weights["state.skip"], tf.float32)[:, tf.newaxis]
    read = tf.reshape(read, tf.concat([tf.shape(x)[:2], [spec.width]], axis=0))
    out = tf.cast(_gated(read, gate, weights, spec), x.dtype)
    return times(linear(out, weights, "state.out"), spec.out_scale), State(window, memory)


def _projected(x: tf.Tensor, weights: Weights, spec: Mamba2Spec) -> tuple[tf.Tensor, ...]:
    """The gate, what is convolved, and time steps."""
    projected = linear(times(x, spec.in_scale), weights, "state.in")
    widths = [spec.width, *spec.channels, spec.heads]
    parts = tf.split(projected, widths, axis=-1)
    gate, *mixed, step = (times(part, scale) for part, scale in zip(parts, spec.scales, strict=True))
    return gate, tf.concat(mixed, axis=-1), step


def _time_steps(step: tf.Tensor, weights: Weights, spec: Mamba2Spec, *, prompt: bool) -> tf.Tensor:
    """float32 [rows, k, heads]; computed and rounded in the model's dtype."""
    dtype = step.dtype
    step = step + tf.cast(weights["state.dt_bias"], dtype)
    step = tf.cast(tf.math.softplus(tf.cast(step, tf.float32)), dtype)
    step = tf.cast(step, tf.float32)
    return tf.clip_by_value(step, *spec.limits) if prompt else step


def _split(x: tf.Tensor, heads: int, size: int) -> tf.Tensor:
    return tf.reshape(x, tf.concat([tf.shape(x)[:2], [heads, size]], axis=0))


def _step(
    memory: tf.Tensor, inner: tf.Tensor, decay: tf.Tensor, before: tf.Tensor, behind: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """One token: [rows, 1, heads, head_dim], and the memory [rows, heads, states, head_dim]."""
    inner, decay, before, behind = (part[:, 0] for part in (inner, decay, before, behind))
    heads = memory.shape[1] // before.shape[1]
    before, behind = (tf.repeat(part, heads, axis=1)[..., tf.newaxis] for part in (before, behind))
    memory = memory * tf.exp(decay)[:, :, tf.newaxis, tf.newaxis] + before * inner[:, :, tf.newaxis]
    return tf.reduce_sum(memory * behind, axis=-2)[:, tf.newaxis], memory


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
    """float32 [rows, k, width]: the gate, and the norm before or behind it."""
    gate = tf.cast(gate, tf.float32)
    gate *= tf.sigmoid(gate)
    if spec.norm is None:
        return read * gate
    if spec.norm_first:
        return _normed(read, weights, spec, spec.norm) * gate
    return _normed(read * gate, weights, spec, spec.norm)


def _normed(x: tf.Tensor, weights: Weights, spec: Mamba2Spec, kind: NormSpec) -> tf.Tensor:
    """Over each group of features, with a scale for every feature."""
    grouped = tf.reshape(x, [*tf.unstack(tf.shape(x)[:2]), spec.groups, spec.width // spec.groups])
    own = {"norm.scale": tf.reshape(weights["state.norm.scale"], [spec.groups, -1])}
    return tf.reshape(norm(grouped, own, "norm", kind), tf.shape(x))
