"""Is a directory a KerasHub preset? Told without importing what reads one."""

from __future__ import annotations

from pathlib import Path

from exporter.checkpoint.checkpoint import read_json
from exporter.errors import CheckpointError

_PACKAGES = ("keras_hub", "keras_nlp")


def is_preset(path: Path) -> bool:
    """Whether a directory's config.json is one of KerasHub's, or of KerasNLP before it."""
    config = path / "config.json"
    if not config.is_file():
        return False
    try:
        found = read_json(config)
    except CheckpointError:
        return False
    names = str(found.get("registered_name")).partition(">")[0], str(found.get("module")).partition(".")[0]
    return any(name in _PACKAGES for name in names)
