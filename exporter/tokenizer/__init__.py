"""The tokenizer room: a small compiler from tokenizer.json to a TensorFlow graph.

``build_tokenizer`` compiles, ``verify_tokenizer`` compares the result with the reference. Importing this
package is light: TensorFlow is loaded with the first name that needs it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from exporter.tokenizer.base import TokenizerAround as TokenizerAround
    from exporter.tokenizer.base import TokenizerGraph as TokenizerGraph
    from exporter.tokenizer.graph import build_tokenizer as build_tokenizer
    from exporter.tokenizer.parity import TokenizerReport as TokenizerReport
    from exporter.tokenizer.parity import verify_tokenizer as verify_tokenizer

_HOMES = {
    "TokenizerAround": "base",
    "TokenizerGraph": "base",
    "TokenizerReport": "parity",
    "build_tokenizer": "graph",
    "verify_tokenizer": "parity",
}

__all__ = ["TokenizerAround", "TokenizerGraph", "TokenizerReport", "build_tokenizer", "verify_tokenizer"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
