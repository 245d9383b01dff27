"""LAuReL (Menghani et al. 2024): a learned residual beside attention. Source: ``Gemma3nTextLaurelBlock``."""

from __future__ import annotations

import math

import tensorflow as tf

from exporter.model.layers import Weights, linear, norm, times
from exporter.spec import LaurelSpec


def laurel(spec: LaurelSpec | None, weights: Weights, x: tf.Tensor, normed: tf.Tensor) -> tf.Tensor:
    """``x`` behind attention, joined with a map of what attention has read; ``x`` in a layer without."""
    if spec is None:
        return x
    mapped = linear(linear(normed, weights, "laurel.left"), weights, "laurel.right")
    return times(x + (normed + norm(mapped, weights, "laurel_norm", spec.norm)), math.sqrt(0.5))
