"""A checkpoint directory: its JSON files, and its tensors by name whatever the number of shards."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from exporter.checkpoint.files import (
    ENTRIES,
    is_inside,
    no_config,
    other_weights,
    shards,
    some,
    weights_entry,
)
from exporter.checkpoint.h5_file import read_h5
from exporter.checkpoint.quantised import dequantised
from exporter.checkpoint.safetensors_file import read_header
from exporter.checkpoint.tensor import StoredTensor
from exporter.checkpoint.tf_names import by_torch_names, of_tensorflow, whole_name
from exporter.errors import CheckpointError, raise_all
from exporter.impostors import what_it_is

if TYPE_CHECKING:
    from exporter.checkpoint.adapters import Adapter

#: Of configuration and tokenizer files; which of them a tokenizer reads is its class's own business.
SMALL_SUFFIXES = frozenset({".json", ".model", ".spm", ".txt"})


class Checkpoint:
    """A directory in Hugging Face layout.

    Attributes:
      path: the directory of configuration and tokenizer files.
      source: the directory that ``source_files`` lie in; ``path`` where they are the same.
      place: what messages call it.
      config: config.json.
      generation_config: generation_config.json, or None.
      adapter: what is merged into the tensors once they have the reference's names; None without.

    Raises:
      CheckpointError: no directory, no config.json, or JSON that cannot be read. Weights are looked at only
        when ``tensors`` is first used.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = self.source = self.place = Path(path)
        self.adapter: Adapter | None = None
        self._notes: dict[str, None] = {}
        self._weight_files: tuple[str, ...] = ()
        if not self.path.is_dir():
            raise CheckpointError(f"{self.path} is not a directory")
        if not (self.path / "config.json").is_file():
            raise CheckpointError(no_config(_files(self.path), str(self.path)))
        self.config: dict[str, Any] = read_json(self.path / "config.json")
        generation = self.path / "generation_config.json"
        self.generation_config: dict[str, Any] | None = (
            read_json(generation) if generation.is_file() else None
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What was chosen or passed over so far, a line each, for whoever reads the export's summary."""
        return tuple(self._notes)

    def note(self, line: str) -> None:
        """Adds a line to ``notes``, once."""
        self._notes[line] = None

    def own_folder(self, folder: TemporaryDirectory[str]) -> None:
        """Takes configuration and tokenizer files from a temporary folder, which lives as long as this."""
        self._folder, self.path = folder, Path(folder.name)

    @cached_property
    def tensors(self) -> Mapping[str, StoredTensor]:
        """Every tensor by name; shapes and dtypes are known, no weight is read yet.

        Quantised weights read as the numbers that they are; where nothing reads their method, as stored.

        Raises:
          CheckpointError: no weights, a damaged file, shards that are not there, or quantised weights that
            do not fit config.json.
        """
        return dequantised(self._stored_tensors(), self.config.get("quantization_config"), self.note)

    def _stored_tensors(self) -> Mapping[str, StoredTensor]:
        """Of the files that the reference reads. Of a tensor that two shards hold, the last one counts."""
        there = _files(self.source)
        named = self.config.get("transformers_weights")
        if is_inside(named) and (self.source / str(named)).is_file():
            there.append(str(named))
        entry = weights_entry(there, self.config, str(self.source))
        indexed = entry.endswith(".index.json")
        used = self._shards(entry) if indexed else [entry]
        self._weight_files = tuple(dict.fromkeys([entry, *used]))
        stored = {name: t for file in used for name, t in _read(self.source / file).items()}
        others = other_weights(there, [entry, *used])
        if others:
            self.note(f"weights are read from {entry}, as in transformers; not from {some(others)}")
        return stored

    @property
    def source_files(self) -> list[str]:
        """Names of the files that an export reads: configuration, tokenizer, and the chosen weights."""
        assert self.tensors  # which chooses the weights
        beside = {name for name in _files(self.source) if Path(name).suffix in SMALL_SUFFIXES}
        return sorted(beside.difference(ENTRIES) | set(self._weight_files))

    def _shards(self, entry: str) -> list[str]:
        index = self.source / entry
        # The reference joins the names of an index to the checkpoint's directory, wherever the index lies.
        used = shards(read_json(index).get("weight_map"), str(index))
        missing = [f"{shard} is missing" for shard in used if not (self.source / shard).is_file()]
        raise_all(CheckpointError, f"{index} names shards that are not there (fetch them again):", missing)
        return used


def _read(path: Path) -> Mapping[str, StoredTensor]:
    """A file of weights, by the reference's names."""
    if path.suffix == ".h5":
        return by_torch_names(read_h5(path))
    stored = read_header(path)
    if not of_tensorflow(stored):
        return stored
    return by_torch_names({whole_name(name): tensor for name, tensor in stored.items()})


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file; raises CheckpointError where it is anything else."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError, RecursionError) as error:
        raise CheckpointError(_unreadable(path, error)) from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} must hold a JSON object, not {type(value).__name__}")
    return value


def _unreadable(path: Path, error: Exception) -> str:
    what = None if isinstance(error, OSError) else what_it_is(path)
    return f"{path} is {what}" if what else f"{path} is not readable JSON: {error}"


def _files(path: Path) -> list[str]:
    return [file.name for file in path.iterdir() if file.is_file()]
