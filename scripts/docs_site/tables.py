"""Markdown tables of fields: their types as JSON schemas have them, their meaning as docstrings say it."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

_SECTION = re.compile(r"^Attributes:\n(.*?)(?=^\S|\Z)", re.MULTILINE | re.DOTALL)
_ENTRY = re.compile(r"^  ([\w, ]+): (.*(?:\n {4}.*)*)", re.MULTILINE)


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Rows of cells, one line each; a cell's own lines are joined."""
    heads = list(head)
    lines = [heads, ["---"] * len(heads), *(list(row) for row in rows)]
    return (
        "\n".join("| " + " | ".join(" ".join(cell.split()) for cell in line) + " |" for line in lines) + "\n"
    )


def prose(text: str) -> str:
    """A docstring's text as Markdown."""
    return text.replace("``", "`")


def attributes(docstring: str | None) -> tuple[str, dict[str, str]]:
    """What comes before a docstring's section ``Attributes``, and in it name -> meaning.

    An entry may be of several names (``a, b: ...``): each has it.
    """
    text = inspect.cleandoc(docstring or "")
    section = _SECTION.search(text)
    if section is None:
        return prose(text), {}
    entries = _ENTRY.findall(section[1])
    named = {name.strip(): prose(meaning) for names, meaning in entries for name in names.split(",")}
    return prose(text[: section.start()].strip()), named


def kind(schema: Mapping[str, Any], link: Callable[[str], str]) -> str:
    """A field's type in words; ``link`` says how a type of its own (a ``$defs`` entry) is named."""
    if "$ref" in schema:
        return link(schema["$ref"].rpartition("/")[2])
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    if "anyOf" in schema:
        return " or ".join(kind(part, link) for part in schema["anyOf"])
    if "prefixItems" in schema:
        return "list of " + ", ".join(kind(part, link) for part in schema["prefixItems"])
    if schema.get("type") == "array":
        return f"list of {kind(schema.get('items', {}), link)}"
    if schema.get("type") == "object":
        values = schema.get("additionalProperties")
        return f"mapping to {kind(values, link)}" if isinstance(values, dict) and values else "mapping"
    return str(schema.get("format", schema.get("type", "any value")))


def default(schema: Mapping[str, Any], *, required: bool) -> str:
    """A field's default as JSON has it; empty for one that must be given."""
    if required:
        return ""
    # A default that a factory makes is not in the schema: an empty mapping or list.
    value = schema.get("default", {} if schema.get("type") == "object" else [])
    text = json.dumps(value)
    return f"`{text}`" if len(text) < 40 else "see there"
