"""RWKV 4 (Peng et al. 2023): an average of values that decays, and a feed-forward block that looks back.

With keys k, values v, a decay w < 0 and a bonus u of each feature, a token reads

    (A + exp(u + k) v) / (B + exp(u + k))

and A becomes exp(w) A + exp(k) v, B becomes exp(w) B + exp(k). Both are kept divided by the exponential of
the largest exponent in them, which is carried too (the reference's ``max_state``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from exporter.model.doubling import COLUMNS, joined
from exporter.model.layers import Weights, in_float32, linear, plain
from exporter.model.state import State, masked, preceded, scanned
from exporter.spec import Activation, WkvSpec

#: Columns of a chunk.
CHUNK = COLUMNS
# The exponent of sums of nothing.
_NONE = -1e38


class Sums(NamedTuple):
    """What some tokens add, [..., width] each.

    Attributes:
      decay: the logarithm of what they leave of the sums before them.
      values, weights: A and B, divided by exp(peak).
      peak: the largest exponent; B is at least 1 where there is a token.
    """

    decay: tf.Tensor
    values: tf.Tensor
    weights: tf.Tensor
    peak: tf.Tensor


def time_mix(
    x: tf.Tensor, weights: Weights, spec: WkvSpec, state: State, real: tf.Tensor | None
) -> tuple[tf.Tensor, State]:
    """[rows, k, hidden] -> the same; ``real`` as of ``convolved``. Of the window one half is touched."""
    window, other = tf.split(state.window, 2, axis=-1)
    (key, value, gate), window = _blended(x, window, real, weights["state.mix"])
    key, value = (
        masked(tf.cast(linear(part, weights, f"state.{name}"), tf.float32), real)
        for name, part in (("key", key), ("value", value))
    )
    inputs = masked(tf.ones_like(key[..., :1]), real), key, value
    decay = -tf.cast(in_float32(tf.exp, weights["state.decay"]), tf.float32)
    bonus = tf.cast(weights["state.bonus"], tf.float32)
    if x.shape[1] == 1:
        read, memory = _step(decay, bonus, state.memory, *inputs)
    else:
        read, memory = scanned(_chunk(decay, bonus), state.memory, inputs, (spec.width,), CHUNK)
    out = in_float32(tf.sigmoid, linear(gate, weights, "state.gate")) * tf.cast(read, x.dtype)
    return linear(out, weights, "state.out"), State(tf.concat([window, other], axis=-1), memory)


def channel_mix(
    x: tf.Tensor, weights: Weights, state: State, real: tf.Tensor | None
) -> tuple[tf.Tensor, State]:
    """The feed-forward block, as ``time_mix``; the other half of the window is its own."""
    other, window = tf.split(state.window, 2, axis=-1)
    (key, gate), window = _blended(x, window, real, weights["mlp.mix"])
    inner = plain(Activation.RELU_SQUARED, linear(key, weights, "mlp.up"))
    out = in_float32(tf.sigmoid, linear(gate, weights, "mlp.gate")) * linear(inner, weights, "mlp.down")
    return out, state._replace(window=tf.concat([other, window], axis=-1))


def _blended(
    x: tf.Tensor, window: tf.Tensor, real: tf.Tensor | None, shares: tf.Tensor
) -> tuple[list[tf.Tensor], tf.Tensor]:
    """``x`` with the column before each, by every row of ``shares`` [n, hidden]; and the new window."""
    inputs = preceded(x, window, real)
    before, last = inputs[:, :-1], tf.ensure_shape(inputs[:, -1:], [None, 1, window.shape[-1]])
    return [x * share + before * (1.0 - share) for share in tf.unstack(shares)], last


def _after_both(earlier: Sums, later: Sums) -> Sums:
    """What tokens and those behind them add together."""
    left = earlier.peak + later.decay
    peak = tf.maximum(left, later.peak)
    old, new = tf.exp(left - peak), tf.exp(later.peak - peak)
    return Sums(
        earlier.decay + later.decay,
        old * earlier.values + new * later.values,
        old * earlier.weights + new * later.weights,
        peak,
    )


def _read(before: Sums, key: tf.Tensor, value: tf.Tensor, bonus: tf.Tensor) -> tf.Tensor:
    """What a token reads of the sums before it and of itself."""
    sums = _after_both(before, Sums(tf.zeros_like(key), value, tf.ones_like(key), key + bonus))
    return sums.values / sums.weights


def _carried(memory: tf.Tensor) -> Sums:
    """Of a memory [rows, 3, width]; zeros where nothing was read."""
    values, weights, peak = tf.unstack(memory, axis=1)
    return Sums(tf.zeros_like(peak), values, weights, tf.where(weights > 0.0, peak, _NONE))


def _added(decay: tf.Tensor, there: tf.Tensor, key: tf.Tensor, value: tf.Tensor) -> Sums:
    """What each token adds by itself: nothing where there is none."""
    is_token = tf.broadcast_to(there > 0.0, tf.shape(key))
    peak = tf.where(is_token, key, _NONE)
    return Sums(tf.where(is_token, decay, 0.0), value, tf.cast(is_token, tf.float32), peak)


def _kept(sums: Sums) -> tf.Tensor:
    """[rows, 3, width]; see ``_carried``."""
    return tf.stack([sums.values, sums.weights, sums.peak], axis=1)


def _step(
    decay: tf.Tensor,
    bonus: tf.Tensor,
    memory: tf.Tensor,
    there: tf.Tensor,
    key: tf.Tensor,
    value: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:
    """One token: [rows, 1, width], and the memory [rows, 3, width]."""
    before, there, key, value = _carried(memory), there[:, 0], key[:, 0], value[:, 0]
    read = _read(before, key, value, bonus)
    return read[:, tf.newaxis], _kept(_after_both(before, _added(decay, there, key, value)))


def _chunk(decay: tf.Tensor, bonus: tf.Tensor) -> Callable[..., tuple[tf.Tensor, tf.Tensor]]:
    """The step of ``scanned``."""

    def chunk(
        memory: tf.Tensor, there: tf.Tensor, key: tf.Tensor, value: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        start = Sums(*(part[:, tf.newaxis] for part in _carried(memory)))
        nothing = Sums(0.0, 0.0, 0.0, _NONE)
        after = _after_both(start, joined(_after_both, _added(decay, there, key, value), nothing))
        before = Sums(
            *(tf.concat([one, rest[:, :-1]], axis=1) for one, rest in zip(start, after, strict=True))
        )
        return _read(before, key, value, bonus), _kept(Sums(*(part[:, -1] for part in after)))

    return chunk
