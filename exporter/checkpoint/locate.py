"""From what a user calls a model to a local directory."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from exporter.errors import CheckpointError

DEMO_PREFIX = "demo:"
GGUF = ".gguf"
#: Of KerasHub presets, as its ``from_preset`` takes them.
PRESET_SCHEMES = ("kaggle://", "hf://", "modelscope://")


@dataclass(frozen=True)
class Location:
    """Where a checkpoint lies.

    Attributes:
      path: its directory, or its one file.
      revision: the commit that it was downloaded at, whatever branch or tag was asked for; None of a local
        directory.
      notes: what whoever exports it should know, a line each.
      asked: what it was asked for as.
    """

    path: Path
    revision: str | None = None
    notes: tuple[str, ...] = ()
    asked: str = field(default="", compare=False)


def locate(
    model: str, revision: str | None = None, *, weights: bool = True, adapter: bool = False
) -> Location:
    """Finds ``model``: a local path, ``demo:NAME``, a KerasHub preset's handle, or a hub id.

    What is downloaded is cached.

    A GGUF file is named by itself: ``DIRECTORY/FILE.gguf``, or ``REPO:FILE.gguf`` on the hub.

    Args:
      weights: False leaves the weights of a hub id where they are.
      adapter: an adapter is looked for, whatever else the repository of a hub id has.

    Raises:
      CheckpointError: nothing is found under that name; the message says where it was looked for.
    """
    if model.startswith(DEMO_PREFIX):
        from exporter.demo import demo_path

        return Location(Path(demo_path(model.removeprefix(DEMO_PREFIX))), asked=model)
    if model.startswith(PRESET_SCHEMES):
        from exporter.checkpoint.keras_hub.handles import fetch_preset

        return Location(*fetch_preset(model, revision, weights=weights), asked=model)
    path = Path(model).expanduser()
    if model and path.is_dir():
        return Location(path, asked=model)
    if model and path.exists():
        if path.suffix == GGUF:
            return Location(path)
        raise CheckpointError(f"{model} is a file; name the checkpoint's directory, or a {GGUF} file")
    repository, colon, file = model.partition(":")
    if not _is_hub_id(repository) or (colon and not file.endswith(GGUF)):
        raise CheckpointError(
            f"{model!r} is neither a directory nor a hub id such as 'openai-community/gpt2'"
        )
    from exporter.checkpoint.hub import download, download_file

    if file:
        return Location(*download_file(repository, file, revision), asked=model)
    path, commit, notes = download(model, revision, weights=weights, adapter=adapter)
    return Location(path, commit, notes, model)


def _is_hub_id(model: str) -> bool:
    parts = model.split("/")
    return (
        len(parts) <= 2 and all(part and part not in {".", "..", "~"} for part in parts) and "\\" not in model
    )
