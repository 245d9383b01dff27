"""Writes exporter/manifest.schema.json, the JSON schema of the manifest, from its model.

python scripts/make_manifest_schema.py [--check]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from exporter.manifest import SCHEMA_PATH, Manifest  # noqa: E402

COMMAND = "python scripts/make_manifest_schema.py"


def render() -> str:
    """The whole file."""
    return json.dumps(Manifest.json_schema(), indent=2) + "\n"


def main() -> int:
    """Writes the file; with --check, only says whether it is up to date."""
    if "--check" in sys.argv[1:]:
        return 0 if SCHEMA_PATH.read_text(encoding="utf-8") == render() else 1
    SCHEMA_PATH.write_text(render(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
