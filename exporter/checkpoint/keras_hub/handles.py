"""Presets by the handles that KerasHub's ``from_preset`` takes, fetched file by file with its own code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from exporter.checkpoint.keras_hub.detection import is_preset
from exporter.checkpoint.keras_hub.preset import ASSETS, JSON_FILES
from exporter.checkpoint.keras_hub.tokenizer_files import MERGES, PROTO, VOCABULARY
from exporter.checkpoint.keras_hub.weights_h5 import INDEX, WEIGHTS, shard_names
from exporter.errors import CheckpointError, MissingExtraError, OptionError, installing

_SMALL = (*JSON_FILES, *(f"{ASSETS}/{name}" for name in (VOCABULARY, MERGES, PROTO)))


def fetch_preset(handle: str, revision: str | None, *, weights: bool = True) -> tuple[Path, str]:
    """The preset's directory in the cache of whoever serves it, and what its version is called there.

    Args:
      weights: False leaves the weights where they are.

    Raises:
      MissingExtraError: KerasHub is not installed.
      CheckpointError: it cannot be had; says why in KerasHub's words.
    """
    if revision is not None:
        raise OptionError(f"revision={revision!r} does not go with {handle}: a version is part of a handle")
    try:
        from keras_hub.src.utils.preset_utils import get_file
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"{handle} needs {error.name}, which is not installed: {installing('export', 'keras-hub')}"
        ) from error
    config = _fetched(get_file, handle, JSON_FILES[0])
    if config is None:
        raise CheckpointError(f"{handle} has no {JSON_FILES[0]}")
    if not is_preset(config.parent):
        raise CheckpointError(
            f"{handle} is no KerasHub preset by its config.json; a checkpoint of transformers on the Hugging "
            "Face hub is exported by its id, ORG/MODEL"
        )
    for name in _SMALL[1:]:
        _fetched(get_file, handle, name)
    if weights and _fetched(get_file, handle, WEIGHTS) is None:
        index = _fetched(get_file, handle, INDEX)
        for name in shard_names(index) if index else ():
            _fetched(get_file, handle, name)
    return config.parent, config.parent.name


def _fetched(get_file: Any, handle: str, name: str) -> Path | None:
    """A file's path; None where the preset has none of that name."""
    try:
        return Path(get_file(handle, name))
    except FileNotFoundError:
        return None
    except Exception as error:
        raise CheckpointError(f"{handle}: {name} cannot be fetched: {error}") from error
