"""Writes exporter/families/config_keys.json: what the installed transformers reads of each family's config.

python scripts/make_config_keys.py [--check]
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from exporter.families.config_keys import ROTARY, TABLE, package_directory  # noqa: E402
from exporter.families.registry import FAMILIES  # noqa: E402
from exporter.families.scan import ReadKeys, keys_of, shared_keys  # noqa: E402

TARGET = ROOT / "exporter" / "families" / TABLE


def render(families: Iterable[str] = tuple(FAMILIES)) -> str:
    """The table of the installed version."""
    root = package_directory()
    shared = shared_keys(root)
    entries = {"shared": _words(shared)}
    for model_type in sorted(families):
        own = keys_of(root, model_type)
        rest = own.config - shared.config | own.config & ROTARY
        entries[model_type] = _words(ReadKeys(rest, own.rope - shared.rope))
    table = {"transformers": metadata.version("transformers"), "keys": entries}
    return json.dumps(table, indent=1) + "\n"


def _words(keys: ReadKeys) -> dict[str, str]:
    return {field: " ".join(sorted(names)) for field, names in keys._asdict().items() if names}


def main() -> int:
    """Writes the table; with --check, only says whether it is up to date."""
    if "--check" in sys.argv[1:]:
        return 0 if TARGET.read_text(encoding="utf-8") == render() else 1
    TARGET.write_text(render(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
