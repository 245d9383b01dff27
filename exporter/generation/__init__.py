"""Decoding: processors, choice of tokens, search and stopping. Knows a step model, no family.

The calls (``generate``, ``score``, ``next_token``) load TensorFlow, so they are imported on use: ``options``
must load without it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from exporter.generation.calls import generate as generate

_CALLS = ("generate",)


def __getattr__(name: str) -> Any:
    if name in _CALLS:
        return getattr(importlib.import_module("exporter.generation.calls"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
