"""From a place to the checkpoint that lies there: the one decision about its format."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from exporter.checkpoint.checkpoint import Checkpoint, read_json
from exporter.checkpoint.files import ENTRIES, some
from exporter.errors import CheckpointError


def open_checkpoint(path: Path) -> Checkpoint:
    """The checkpoint at ``path``: a directory, or a GGUF file.

    Raises:
      CheckpointError: no known format, or one that cannot be read.
    """
    file = path if path.is_file() else _only_gguf(path)
    if file is None:
        return Checkpoint(path)
    from exporter.checkpoint.gguf import GgufCheckpoint

    return GgufCheckpoint(file)


@contextmanager
def tokenizer_files(path: Path) -> Iterator[Path]:
    """The directory of a checkpoint's tokenizer files; it need hold nothing else.

    Raises:
      CheckpointError: as ``open_checkpoint`` does of a GGUF file.
    """
    inside = path.is_file() or (path.is_dir() and _only_gguf(path) is not None)
    checkpoint = open_checkpoint(path) if inside else None  # whose directory is there as long as it lives
    yield checkpoint.path if checkpoint else path


def _only_gguf(directory: Path) -> Path | None:
    """The GGUF file of a directory that has nothing else to read; None where others come first."""
    names = sorted(file.name for file in directory.glob("*.gguf") if file.is_file())
    if not names or any((directory / name).is_file() for name in ENTRIES):
        return None
    config = directory / "config.json"
    if config.is_file() and "transformers_weights" in read_json(config):
        return None
    if len(names) > 1:
        raise CheckpointError(
            f"{directory} has several GGUF files, {some(names)}: name one, such as {directory / names[0]}"
        )
    return directory / names[0]
