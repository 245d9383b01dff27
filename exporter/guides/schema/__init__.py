"""JSON Schema (draft 2020-12) -> a tree of JSON texts, each of them valid.

    schema -> alternatives of plain keywords (``merging``) -> trees (``values``, ``strings``, ``numbers``)

The texts are what ``json.dumps(value, ensure_ascii=False)`` writes, so there is one text of a value; which
values are left out (digits, names, property orders) docs/guided-output.md says. What cannot be exact is
refused with its path in the schema.
"""

from __future__ import annotations

from exporter.guides.schema.values import syntax_of

__all__ = ["syntax_of"]
