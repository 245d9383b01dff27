"""The manifest's reference: its JSON schema as tables."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from exporter.manifest import MANIFEST_PATH, SCHEMA_PATH
from scripts.docs_site.tables import attributes, default, kind, table

_HEAD = f"""\
# The manifest

Every version says what it is in `{MANIFEST_PATH}`; deployment files, verification, the gateway and
examples of requests are made of it. These tables are its JSON schema (`exporter.manifest.SCHEMA_PATH`, a file
of the package). Fields without a default are always there.
"""


def page() -> str:
    """The whole reference."""
    schema = json.loads(SCHEMA_PATH.read_text(encoding="utf-8"))
    parts = [_HEAD, _fields(schema)]
    for name, part in schema["$defs"].items():
        parts.append(f"## {name}\n\n{attributes(part.get('description'))[0]}\n\n{_fields(part)}")
    return "\n".join(parts)


def _fields(schema: Mapping[str, Any]) -> str:
    _, meaning = attributes(schema.get("description"))
    rows = (
        (
            f"`{name}`",
            kind(field, lambda name: f"[{name}](#{name.lower()})"),
            default(field, required=name in schema.get("required", ())),
            meaning.get(name, field.get("description", "")),
        )
        for name, field in schema["properties"].items()
    )
    return table(("field", "type", "default", "what it is"), rows)
