"""The functional transformer: a ModelSpec and its weights become a ``StepModel``."""

from __future__ import annotations

from exporter.model.cache import CacheState, KVCache
from exporter.model.transformer import Transformer, build_model

__all__ = ["CacheState", "KVCache", "Transformer", "build_model"]
