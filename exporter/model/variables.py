"""Variables of weights: with their arrays, or for a graph that is traced before they are read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy.typing as npt
import tensorflow as tf
from tensorflow.python.ops.resource_variable_ops import UninitializedVariable

from exporter.weights import WeightInfo


def variables(weights: Mapping[str, npt.NDArray[Any] | tf.Variable]) -> dict[str, tf.Variable]:
    """A variable of each array, which are looked up one after the other; variables stay as they are."""
    return {name: _variable(name, value) for name, value in weights.items()}


def _variable(name: str, value: npt.NDArray[Any] | tf.Variable) -> tf.Variable:
    if isinstance(value, tf.Variable):
        return value
    return tf.Variable(value, trainable=False, name=graph_name(name))


def unwritten_variables(infos: Mapping[str, WeightInfo]) -> dict[str, tf.Variable]:
    """Variables that have a shape and a dtype, and no memory: to be traced over and saved, not to be run."""
    return {
        name: UninitializedVariable(
            trainable=False, name=graph_name(name), shape=info.shape, dtype=tf.as_dtype(info.dtype)
        )
        for name, info in infos.items()
    }


def graph_name(name: str) -> str:
    """A name that TensorFlow takes for a variable, and can save it under."""
    return re.sub(r"[.:]", "_", name)
