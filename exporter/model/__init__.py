"""The functional transformer: a ModelSpec and its weights become a ``StepModel``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from exporter.model.cache import CacheState, KVCache
from exporter.model.encoder_decoder import EncoderDecoder
from exporter.model.transformer import Transformer
from exporter.spec import ModelSpec

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["CacheState", "EncoderDecoder", "KVCache", "Transformer", "build_model"]


def build_model(spec: ModelSpec, weights: Mapping[str, npt.NDArray[Any]]) -> Transformer:
    """A ``StepModel`` whose variables hold ``weights`` (names and layout: ``exporter.families.weights``)."""
    return (EncoderDecoder if spec.encoder else Transformer)(spec, weights)
