"""Guided output: what an answer may be, as a table over tokens.

    guide (options) -> tree (``syntax``) -> automaton over bytes (``machine``) -> table of tokens (``table``)

Patterns become trees in ``patterns``, JSON Schemas in ``schema``. No TensorFlow here.
"""

from __future__ import annotations

from exporter.guides.compiling import DEFAULT_LIMIT, compile_guide, language
from exporter.guides.guide import Guide, GuideKind
from exporter.guides.table import GuideTable

__all__ = ["DEFAULT_LIMIT", "Guide", "GuideKind", "GuideTable", "compile_guide", "language"]
