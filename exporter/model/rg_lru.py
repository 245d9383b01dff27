"""The real-gated linear recurrent unit of Griffin (De et al. 2024): every feature is an average that decays.

With gates i and r of a token's features x and a = exp(-8 r softplus(p)) the memory h becomes
a h + sqrt(1 - a^2) i x, and i x by a text's first token. The reference rounds all of these but h to the
model's dtype.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from exporter.model.doubling import COLUMNS, after_both, joined
from exporter.model.layers import Weights, in_float32, linear, rounded
from exporter.model.state import State, activated, convolved, masked, scanned
from exporter.spec import RgLruSpec

#: Columns of a chunk.
CHUNK = COLUMNS
# A constant of the paper's, and of the reference's.
_RATE = -8.0


def rg_lru(
    x: tf.Tensor,
    weights: Weights,
    spec: RgLruSpec,
    state: State,
    real: tf.Tensor | None,
    first: tf.Tensor | None,
) -> tuple[tf.Tensor, State]:
    """[rows, k, hidden] -> the same; ``real`` as of ``convolved``, ``first`` as of ``mixed``."""
    inner, gate = tf.split(linear(x, weights, "state.in"), 2, axis=-1)
    inner, window = convolved(inner, weights, state.window, real)
    decay, added = _changes(inner, weights, spec, first)
    decay, added = (masked(tf.cast(part, tf.float32), real) for part in (decay, added))
    if x.shape[1] == 1:
        read = rounded(tf.exp(decay), x.dtype) * state.memory[:, tf.newaxis] + added
        memory = read[:, 0]
    else:
        read, memory = scanned(_chunk(x.dtype), state.memory, (decay, added), (spec.channels,), CHUNK)
    out = tf.cast(read, x.dtype) * activated(gate, spec.activation)
    return linear(out, weights, "state.out"), State(window, memory)


def _changes(
    inner: tf.Tensor, weights: Weights, spec: RgLruSpec, first: tf.Tensor | None
) -> tuple[tf.Tensor, tf.Tensor]:
    """[rows, k, channels] each, in the model's dtype: the logarithm of the decay, and what is added."""
    gates = in_float32(tf.sigmoid, _by_block(inner, weights, spec))
    own, forgetting = (tf.reshape(part, tf.shape(inner)) for part in tf.split(gates, 2, axis=-1))
    decay = forgetting * _RATE * in_float32(tf.math.softplus, weights["state.decay"])
    share = in_float32(tf.sqrt, 1.0 - in_float32(tf.exp, 2.0 * decay))
    if first is not None:
        share = tf.where(first[:, :, tf.newaxis], tf.ones_like(share), share)
    return decay, inner * own * share


def _by_block(inner: tf.Tensor, weights: Weights, spec: RgLruSpec) -> tf.Tensor:
    """[rows, k, channels] -> [rows, k, blocks, 2 * size]: both gates, each block by its own matrix."""
    kernel, shape = weights["state.rates.kernel"], tf.shape(inner)
    columns = tf.reshape(inner, [-1, spec.blocks, spec.channels // spec.blocks])
    gates = tf.matmul(tf.transpose(columns, [1, 0, 2]), kernel)  # [blocks, rows * k, 2 * size]
    gates = tf.transpose(gates, [1, 0, 2]) + weights["state.rates.bias"]
    return tf.reshape(gates, [shape[0], shape[1], spec.blocks, kernel.shape[-1]])


def _chunk(dtype: tf.DType) -> Callable[..., tuple[tf.Tensor, tf.Tensor]]:
    """The step of ``scanned``; ``dtype``: the model's, which decays are rounded to."""

    def chunk(memory: tf.Tensor, decay: tf.Tensor, added: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        kept, added = joined(after_both, (rounded(tf.exp(decay), dtype), added), (1.0, 0.0))
        memories = kept * memory[:, tf.newaxis] + added
        return memories, memories[:, -1]

    return chunk
