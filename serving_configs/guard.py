"""guard.js: what nginx refuses before the server sees it, with the largest batch of every model."""

from __future__ import annotations

import json
from collections.abc import Sequence

from exporter.manifest import Manifest
from serving_configs.text import template

FILE = "guard.js"


def render(manifests: Sequence[Manifest]) -> str:
    """The script for ``js_import``; its limits are those of the manifests' batch buckets."""
    largest: dict[str, int] = {}
    for manifest in manifests:
        size = manifest.buckets.batch_sizes[-1]
        largest[manifest.name] = max(size, largest.get(manifest.name, size))
    return template("guard.js.j2", largest=json.dumps(largest, sort_keys=True))
