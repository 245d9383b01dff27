"""Mamba (Gu and Dao 2023): every feature keeps some states, each with a decay of its own.

No product of matrices makes such a memory; a chunk is read by doubling.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from exporter.model.doubling import COLUMNS, after_both, joined
from exporter.model.layers import Weights, linear, norm, rounded
from exporter.model.state import State, activated, convolved, masked, scanned
from exporter.spec import MambaSpec

#: Columns of a chunk.
CHUNK = COLUMNS


def mamba(
    x: tf.Tensor, weights: Weights, spec: MambaSpec, state: State, real: tf.Tensor | None
) -> tuple[tf.Tensor, State]:
    """[rows, k, hidden] -> the same; ``real`` as of ``convolved``."""
    inner, gate = tf.split(linear(x, weights, "state.in"), 2, axis=-1)
    inner, window = convolved(inner, weights, state.window, real, spec.activation)
    step, before, behind = _selected(inner, weights, spec)
    rate = -tf.exp(tf.cast(weights["state.decay"], tf.float32))  # [states, channels]
    inputs = (masked(step, real), masked(step * tf.cast(inner, tf.float32), real), before, behind)
    alone = x.shape[1] == 1
    if alone:
        read, memory = _step(rate, x.dtype, state.memory, *inputs)
    else:
        read, memory = scanned(_chunk(rate, x.dtype), state.memory, inputs, (spec.channels,), CHUNK)
    out = _gated(tf.cast(read, x.dtype), inner, gate, weights, spec, x.dtype if alone else tf.float32)
    return linear(tf.cast(out, x.dtype), weights, "state.out"), State(window, memory)


def _gated(
    read: tf.Tensor,
    inner: tf.Tensor,
    gate: tf.Tensor,
    weights: Weights,
    spec: MambaSpec,
    dtype: tf.DType,
) -> tf.Tensor:
    """[rows, k, channels], computed in ``dtype``: a token alone is rounded at every step, a prompt is not."""
    skip = tf.cast(inner, dtype) * tf.cast(weights["state.skip"], dtype)
    return (tf.cast(read, dtype) + skip) * tf.cast(activated(gate, spec.activation), dtype)


def _selected(inner: tf.Tensor, weights: Weights, spec: MambaSpec) -> tuple[tf.Tensor, ...]:
    """float32 time steps [rows, k, channels], B and C [rows, k, states]."""
    dtype = inner.dtype
    widths = [spec.rank, spec.states, spec.states]
    parts = tf.split(linear(inner, weights, "state.select"), widths, axis=-1)
    names = ("state.step_norm", "state.before_norm", "state.behind_norm")
    step, before, behind = (
        norm(part, weights, name, spec.norm) for part, name in zip(parts, names, strict=True)
    )
    step = linear(step, weights, "state.step") + weights["state.dt_bias"]
    step = tf.cast(tf.math.softplus(tf.cast(step, tf.float32)), dtype)
    step, before, behind = (tf.cast(part, tf.float32) for part in (step, before, behind))
    return step, before, behind


def _step(
    rate: tf.Tensor,
    dtype: tf.DType,
    memory: tf.Tensor,
    step: tf.Tensor,
    added: tf.Tensor,
    before: tf.Tensor,
    behind: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:
    """One token: [rows, 1, channels], and the memory [rows, states, channels].

    What is read is the memory rounded to ``dtype``, the model's; it goes on as it is.
    """
    step, added = step[:, 0, tf.newaxis], added[:, 0, tf.newaxis]
    memory = memory * tf.exp(rate * step) + before[:, 0, :, tf.newaxis] * added
    read = tf.reduce_sum(rounded(memory, dtype) * behind[:, 0, :, tf.newaxis], axis=1)
    return read[:, tf.newaxis], memory


def _chunk(rate: tf.Tensor, dtype: tf.DType) -> Callable[..., tuple[tf.Tensor, tf.Tensor]]:
    """The step of ``scanned``; ``dtype`` as in ``_step``."""

    def chunk(
        memory: tf.Tensor, step: tf.Tensor, added: tf.Tensor, before: tf.Tensor, behind: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        # [rows, columns, states, channels]: factors since the chunk began, and what was added since.
        kept = tf.exp(rate * step[:, :, tf.newaxis])
        made = before[..., tf.newaxis] * added[:, :, tf.newaxis]
        kept, made = joined(after_both, (kept, made), (1.0, 0.0))
        memories = kept * memory[:, tf.newaxis] + made
        read = tf.reduce_sum(rounded(memories, dtype) * behind[..., tf.newaxis], axis=2)
        return read, memories[:, -1]

    return chunk
