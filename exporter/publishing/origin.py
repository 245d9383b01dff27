"""What a folder of versions was exported from."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from exporter.errors import OutputError
from exporter.manifest import Manifest
from exporter.publishing.numbers import version_folders


def refuse_other_source(servable: Path, model: str, adapter: str | None = None) -> None:
    """Two models may derive the same name: the versions of one servable are one model's, unless asked for.

    Raises:
      OutputError: a version there was exported from another source than ``model`` and ``adapter``.
    """
    for child in version_folders(servable).values():
        try:
            manifest = Manifest.read(child)
        except (OSError, ValidationError):
            continue
        source, merged = manifest.model.source, manifest.options.get("adapter")
        if _both(source, merged) != _both(model, adapter):
            raise OutputError(
                f"version {child.name} in {servable} was exported from {_named(source, merged)}, and this is "
                f"{_named(model, adapter)}: give "
                f"--name for a servable of its own, or --name {servable.name} to publish it there anyway"
            )


def _named(model: str, adapter: str | None) -> str:
    return f"{model} with the adapter {adapter}" if adapter else model


def _both(model: str, adapter: str | None) -> tuple[str, str]:
    return source_of(model), source_of(adapter or "")


def source_of(model: str) -> str:
    """What tells models apart: the whole path of a directory or file, and any other name as it is."""
    path = Path(model).expanduser()
    return str(path.resolve()) if model and path.exists() else model
