"""What a folder of versions was exported from."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from exporter.errors import OutputError
from exporter.manifest import Manifest
from exporter.publishing.numbers import version_folders


def refuse_other_source(servable: Path, model: str) -> None:
    """Two models may derive the same name: the versions of one servable are one model's, unless asked for.

    Raises:
      OutputError: a version there was exported from another source than ``model``.
    """
    for child in version_folders(servable).values():
        try:
            source = Manifest.read(child).model.source
        except (OSError, ValidationError):
            continue
        if source_of(source) != source_of(model):
            raise OutputError(
                f"version {child.name} in {servable} was exported from {source}, and this is {model}: give "
                f"--name for a servable of its own, or --name {servable.name} to publish it there anyway"
            )


def source_of(model: str) -> str:
    """What tells models apart: the whole path of a directory or file, and any other name as it is."""
    path = Path(model).expanduser()
    return str(path.resolve()) if model and path.exists() else model
