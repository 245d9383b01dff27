"""Gated delta nets (Yang et al. 2024): a map from keys to values, decayed and corrected by every token.

With memory S, key k, value v, decay a and strength b a token makes S := a S + k (b (v - k a S))', and reads
q S. A chunk's corrections depend on each other through a triangular system of its keys (the UT transform of
Yang et al. 2024b), so that a chunk is a few products and one solution.
"""

from __future__ import annotations

import tensorflow as tf

from exporter.model.layers import Weights, linear, norm
from exporter.model.state import State, by_column, by_head, convolved, decays, masked, scanned
from exporter.spec import GatedDeltaSpec

#: Columns of a chunk, as in the reference.
CHUNK = 64
# L2 norms of queries and keys; a constant of the reference's.
_EPSILON = 1e-6


def gated_delta(
    x: tf.Tensor, weights: Weights, spec: GatedDeltaSpec, state: State, real: tf.Tensor | None
) -> tuple[tf.Tensor, State]:
    """[rows, k, hidden] -> the same; ``real`` as of ``convolved``."""
    mixed, gate = tf.split(linear(x, weights, "state.in"), [spec.window[1], spec.channels[2]], axis=-1)
    mixed, window = convolved(mixed, weights, state.window, real, spec.activation)
    query, key, value = tf.split(mixed, spec.channels, axis=-1)
    strength, decay = _rates(x, weights, spec)
    inputs = (
        _unit(query, spec) * spec.key_dim**-0.5,
        _unit(key, spec),
        tf.cast(_split(value, spec.value_heads, spec.value_dim), tf.float32),
        decay,
        strength,
    )
    if x.shape[1] == 1:
        read, memory = _step(state.memory, *inputs)
    else:
        inputs = tuple(masked(part, real) for part in inputs)
        shape = (spec.value_heads, spec.value_dim)
        read, memory = scanned(_chunk, state.memory, inputs, shape, CHUNK)
    out = _gated(tf.cast(read, x.dtype), _split(gate, spec.value_heads, spec.value_dim), weights, spec)
    return linear(out, weights, "state.out"), State(window, memory)


def _rates(x: tf.Tensor, weights: Weights, spec: GatedDeltaSpec) -> tuple[tf.Tensor, tf.Tensor]:
    """float32 [rows, k, heads]: how strongly a token writes, and the logarithm of its decay."""
    strength, step = tf.split(linear(x, weights, "state.rates"), 2, axis=-1)
    strength = tf.cast(tf.sigmoid(tf.cast(strength, tf.float32)), x.dtype)
    rate = tf.exp(tf.cast(weights["state.decay"], tf.float32))
    step = tf.cast(step, tf.float32) + tf.cast(weights["state.dt_bias"], tf.float32)
    return tf.cast(strength, tf.float32) * spec.write_scale, -rate * tf.math.softplus(step)


def _unit(x: tf.Tensor, spec: GatedDeltaSpec) -> tf.Tensor:
    """[rows, k, keys] -> float32 [rows, k, value_heads, key_dim], of length 1."""
    x = tf.cast(_split(x, spec.key_heads, spec.key_dim), tf.float32)
    x *= tf.math.rsqrt(tf.reduce_sum(tf.square(x), axis=-1, keepdims=True) + _EPSILON)
    return tf.repeat(x, spec.value_heads // spec.key_heads, axis=2)


def _split(x: tf.Tensor, heads: int, size: int) -> tf.Tensor:
    return tf.reshape(x, tf.concat([tf.shape(x)[:2], [heads, size]], axis=0))


def _step(
    memory: tf.Tensor,
    query: tf.Tensor,
    key: tf.Tensor,
    value: tf.Tensor,
    decay: tf.Tensor,
    strength: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:
    """One token: [rows, 1, heads, value_dim], and the memory [rows, heads, key_dim, value_dim]."""
    query, key, value, decay, strength = (part[:, 0] for part in (query, key, value, decay, strength))
    memory *= tf.exp(decay)[:, :, tf.newaxis, tf.newaxis]
    known = tf.reduce_sum(memory * key[..., tf.newaxis], axis=-2)
    fresh = (value - known) * strength[..., tf.newaxis]
    memory += key[..., tf.newaxis] * fresh[:, :, tf.newaxis]
    return tf.reduce_sum(memory * query[..., tf.newaxis], axis=-2)[:, tf.newaxis], memory


def _chunk(
    memory: tf.Tensor,
    query: tf.Tensor,
    key: tf.Tensor,
    value: tf.Tensor,
    decay: tf.Tensor,
    strength: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:
    """A chunk's tokens: [rows, columns, heads, value_dim], and the memory behind them."""
    heads, sizes = memory.shape[1], memory.shape[2:]
    shape = tf.shape(memory)
    memory = tf.reshape(memory, [-1, *sizes])
    query, key, value, decay, strength = (by_head(part) for part in (query, key, value, decay, strength))
    total, between = decays(decay)
    since, strength = tf.exp(total)[..., tf.newaxis], strength[..., tf.newaxis]
    written = key * strength
    system = tf.matmul(written, key, transpose_b=True) * between
    system = tf.linalg.set_diag(system, tf.ones_like(decay))
    solved = tf.linalg.triangular_solve(system, tf.concat([value * strength, written * since], axis=-1))
    new, known = tf.split(solved, [sizes[1], sizes[0]], axis=-1)
    fresh = new - tf.matmul(known, memory)
    within = tf.matmul(query, key, transpose_b=True) * between
    read = tf.matmul(query * since, memory) + tf.matmul(within, fresh)
    left = tf.exp(total[:, -1:] - total)[..., tf.newaxis]
    memory = memory * since[:, -1:] + tf.matmul(key * left, fresh, transpose_a=True)
    return by_column(read, heads), tf.reshape(memory, shape)


def _gated(read: tf.Tensor, gate: tf.Tensor, weights: Weights, spec: GatedDeltaSpec) -> tf.Tensor:
    """Both [rows, k, heads, value_dim] -> [rows, k, heads * value_dim]."""
    normed = tf.cast(norm(read, weights, "state.norm", spec.norm), tf.float32)
    gate = tf.cast(gate, tf.float32)
    out = tf.cast(normed * gate * tf.sigmoid(gate), read.dtype)
    return tf.reshape(out, tf.concat([tf.shape(out)[:2], [spec.channels[2]]], axis=0))
