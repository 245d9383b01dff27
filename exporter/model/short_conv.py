"""LFM2's gated short convolution."""

from __future__ import annotations

import tensorflow as tf

from exporter.model.layers import Weights, linear
from exporter.model.state import State, convolved
from exporter.spec import ShortConvSpec


def short_conv(
    x: tf.Tensor, weights: Weights, spec: ShortConvSpec, state: State, real: tf.Tensor | None
) -> tuple[tf.Tensor, State]:
    """[rows, k, hidden] -> the same; ``real`` as of ``convolved``."""
    before, behind, inner = tf.split(linear(x, weights, "state.in"), 3, axis=-1)
    inner, window = convolved(before * inner, weights, state.window, real)
    return linear(behind * inner, weights, "state.out"), State(window)
