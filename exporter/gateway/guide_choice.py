"""Which of an export's guides a request asks for: by name, or by ``response_format``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from exporter.errors import did_you_mean
from exporter.gateway.errors import invalid, unsupported
from exporter.gateway.requests import ResponseFormat
from exporter.manifest import Manifest


def guide_named(name: str | None, manifest: Manifest) -> dict[str, int]:
    """The option of a guide by its name.

    Raises:
      ApiError: the export has none of that name; lists those that it has.
    """
    if name is None:
        return {}
    known = guide_names(manifest)
    if name not in known:
        raise invalid(
            f"guide: model {manifest.name} has no guide {name!r}{did_you_mean(name, known)}; "
            f"it has {', '.join(known) or 'none'}",
            "guide",
        )
    return {"guide": known.index(name)}


def guide_of_format(wanted: ResponseFormat | None, manifest: Manifest) -> dict[str, int]:
    """The option of the guide with the wanted schema; of ``json_object`` the guide of any JSON object.

    Raises:
      ApiError: no such guide was exported; says how to.
    """
    if wanted is None or wanted.type == "text":
        return {}
    guides = _guides(manifest)
    if wanted.type == "json_object":
        schema: Any = {"type": "object"}
        field = "response_format"
    else:
        schema, field = _schema(wanted), "response_format.json_schema"
    for index, guide in enumerate(guides.values()):
        if "json" in guide and _same(guide["json"], schema):
            return {"guide": index}
    raise unsupported(
        f"{field}: model {manifest.name} was exported without a guide of this schema; export it with "
        f"guides: {{NAME: {{json: {json.dumps(schema)[:200]}}}}} (docs/gateway.md)",
        "response_format",
    )


def guide_names(manifest: Manifest) -> list[str]:
    """Of every exported guide."""
    return list(_guides(manifest))


def _schema(wanted: ResponseFormat) -> Any:
    given = wanted.json_schema or {}
    if not isinstance(given.get("schema"), dict):
        raise invalid(
            "response_format.json_schema.schema: a JSON schema is needed",
            "response_format",
            "missing_required_parameter",
        )
    return given["schema"]


def _same(one: Any, other: Any) -> bool:
    """Whether two schemas are the same JSON; the order of properties counts: answers follow it."""
    return json.dumps(json.loads(one) if isinstance(one, str) else one) == json.dumps(other)


def _guides(manifest: Manifest) -> Mapping[str, Mapping[str, Any]]:
    """Name -> ``{"json": schema}``, ``{"regex": pattern}`` or the like, in the order of their numbers."""
    return dict(manifest.options.get("guides") or {})
