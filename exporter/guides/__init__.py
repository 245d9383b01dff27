"""Guided output: what an answer may be, as a table over tokens.

    guide (options) -> tree (``syntax``) -> automaton over bytes (``machine``) -> table of tokens (``table``)

Patterns become trees in ``patterns``, JSON Schemas in ``schema``. No TensorFlow here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter import lazy

if TYPE_CHECKING:
    from exporter.guides.compiling import DEFAULT_LIMIT, compile_guide, language
    from exporter.guides.guide import Guide, GuideKind
    from exporter.guides.table import GuideTable

__all__ = ["DEFAULT_LIMIT", "Guide", "GuideKind", "GuideTable", "compile_guide", "language"]

__getattr__ = lazy.attributes(
    __name__,
    {
        "DEFAULT_LIMIT": "exporter.guides.compiling",
        "Guide": "exporter.guides.guide",
        "GuideKind": "exporter.guides.guide",
        "GuideTable": "exporter.guides.table",
        "compile_guide": "exporter.guides.compiling",
        "language": "exporter.guides.compiling",
    },
)
