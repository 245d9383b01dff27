"""From a place to the checkpoint that lies there: the one decision about its format."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from exporter.checkpoint.adapters import Adapter, with_adapter
from exporter.checkpoint.checkpoint import Checkpoint, read_json
from exporter.checkpoint.files import ENTRIES, names_adapter, some
from exporter.checkpoint.keras_hub.detection import is_preset
from exporter.checkpoint.locate import Location, locate
from exporter.errors import CheckpointError


def open_checkpoint(path: Path, adapter: Location | None = None) -> Checkpoint:
    """The checkpoint at ``path``: a directory, or a GGUF file; with ``adapter`` merged into it.

    Where an adapter lies there it is the adapter's base, with that.

    Raises:
      CheckpointError: no known format, or one that cannot be read.
    """
    if adapter is not None:
        return with_adapter(_opened(path), Adapter(adapter.path, adapter.asked, adapter.revision))
    if _is_adapter(path):
        return _on_its_base(Adapter(path))
    return _opened(path)


def _opened(path: Path) -> Checkpoint:
    if is_preset(path):
        from exporter.checkpoint.keras_hub.preset import PresetCheckpoint, read_preset

        return PresetCheckpoint(read_preset(path))
    file = path if path.is_file() else _only_gguf(path)
    if file is None:
        return Checkpoint(path)
    from exporter.checkpoint.gguf import GgufCheckpoint

    return GgufCheckpoint(file)


def _is_adapter(path: Path) -> bool:
    return path.is_dir() and names_adapter([file.name for file in path.iterdir()])


def _on_its_base(adapter: Adapter) -> Checkpoint:
    if adapter.base is None:
        raise CheckpointError(
            f"{adapter.path} does not say which model it belongs to (base_model_name_or_path): give the base "
            f"as MODEL, and --adapter {adapter.path}"
        )
    try:
        base = locate(adapter.base, adapter.base_revision)
    except CheckpointError as error:
        raise CheckpointError(
            f"the base of the adapter {adapter.path} was not found: {error}; if it lies elsewhere, give it "
            f"as MODEL, and --adapter {adapter.path}"
        ) from error
    if _is_adapter(base.path):
        raise CheckpointError(
            f"{adapter.path}: its base {adapter.base!r} is an adapter itself: merge that first"
        )
    checkpoint = with_adapter(_opened(base.path), adapter)
    at = f" at commit {base.revision}" if base.revision else ""
    checkpoint.note(f"the adapter's base is {adapter.base}{at}")
    return checkpoint


@contextmanager
def tokenizer_files(path: Path) -> Iterator[Path]:
    """The directory of a checkpoint's tokenizer files; it need hold nothing else.

    Raises:
      CheckpointError: as ``open_checkpoint`` does of a GGUF file; a KerasHub preset that has no tokenizer.
    """
    if is_preset(path):
        from exporter.checkpoint.keras_hub.preset import preset_tokenizer

        with preset_tokenizer(path) as folder:
            yield folder
        return
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
