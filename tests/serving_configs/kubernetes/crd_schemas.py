"""The schema of a CustomResourceDefinition as a strict JSON schema: further fields are errors."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml

#: Of a version and kind, such as ("keda.sh/v1alpha1", "ScaledObject").
Schemas = dict[tuple[str, str], dict[str, Any]]


@cache
def read(folder: Path) -> Schemas:
    """Of every CRD among the YAML files of a folder."""
    found = {}
    for path in sorted(folder.glob("*.yaml")):
        for document in yaml.load_all(path.read_text(encoding="utf-8"), yaml.CSafeLoader):
            if document and document.get("kind") == "CustomResourceDefinition":
                spec = document["spec"]
                for version in spec["versions"]:
                    schema = strict(version["schema"]["openAPIV3Schema"])
                    # That of every object, which a CRD does not repeat.
                    schema["properties"]["metadata"] = {"type": "object"}
                    found[f"{spec['group']}/{version['name']}", spec["names"]["kind"]] = schema
    return found


def strict(schema: dict[str, Any]) -> dict[str, Any]:
    """Structural schemas prune what they do not list; here that is refused."""
    found: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "properties":
            found[key] = {name: strict(item) for name, item in value.items()}
        elif key in ("items", "not") or (key == "additionalProperties" and isinstance(value, dict)):
            found[key] = strict(value)
        elif key in ("allOf", "anyOf", "oneOf"):
            found[key] = [strict(item) for item in value]
        elif key not in ("format", "nullable") and not key.startswith("x-"):
            found[key] = value
    if schema.get("x-kubernetes-int-or-string"):
        found.pop("type", None)
    closed = "properties" in schema and "additionalProperties" not in schema
    if schema.get("type") == "object" and closed and not schema.get("x-kubernetes-preserve-unknown-fields"):
        found["additionalProperties"] = False
    return found
