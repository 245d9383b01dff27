"""The functional transformer: a ModelSpec and its weights become a ``StepModel``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from exporter.model.cache import CacheState, KVCache
from exporter.model.encoder_decoder import EncoderDecoder
from exporter.model.transformer import Transformer
from exporter.model.unbaked import read_behind
from exporter.model.variables import unwritten_variables
from exporter.spec import ModelSpec

if TYPE_CHECKING:
    import numpy.typing as npt
    import tensorflow as tf

__all__ = [
    "CacheState",
    "EncoderDecoder",
    "KVCache",
    "Transformer",
    "build_model",
    "read_behind",
    "unwritten_variables",
]


def build_model(
    spec: ModelSpec,
    weights: Mapping[str, npt.NDArray[Any] | tf.Variable],
    dtype: npt.DTypeLike | None = None,
) -> Transformer:
    """A ``StepModel`` over ``weights`` (names and layout: ``exporter.families.weights``).

    Arrays become variables, one after the other; variables are used as they are, and may hold nothing where
    the model is only traced (``unwritten_variables``). ``dtype`` is that of activations; None takes the
    narrowest floating type among the weights.
    """
    return (EncoderDecoder if spec.encoder else Transformer)(spec, weights, dtype)
