"""A KerasHub preset as a checkpoint: in a temporary folder in the reference's format, but for the weights.

config.json          the backbone's class and configuration
tokenizer.json       the tokenizer's class and configuration, with assets/tokenizer beside it
preprocessor.json    how prompts are packed, task.json what generates; both may be missing
model.weights.h5     the weights, or model.weights.json and shards
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from exporter.checkpoint.checkpoint import Checkpoint, read_json
from exporter.checkpoint.keras_hub.architectures import architecture_of
from exporter.checkpoint.keras_hub.mapping import reference_tensors
from exporter.checkpoint.keras_hub.reference_files import write_reference
from exporter.checkpoint.keras_hub.tokenizer_files import write_tokenizer
from exporter.checkpoint.keras_hub.weights_h5 import stored_variables, weight_files
from exporter.checkpoint.tensor import StoredTensor
from exporter.errors import CheckpointError

ASSETS = "assets/tokenizer"
_BACKBONE, _TOKENIZER, _PREPROCESSOR, _TASK = (
    "config.json",
    "tokenizer.json",
    "preprocessor.json",
    "task.json",
)
#: Files of a preset in JSON, in the order in which they are fetched.
JSON_FILES = (_BACKBONE, "metadata.json", _TOKENIZER, _PREPROCESSOR, _TASK)


@dataclass(frozen=True)
class Described:
    """An object of Keras as its serialised form names it."""

    class_name: str
    config: Mapping[str, Any]


@dataclass(frozen=True)
class Preset:
    """What a preset consists of, wherever it is.

    Attributes:
      tokenizer, preprocessor, task: None where the preset is a bare backbone.
      assets: the directory of the tokenizer's vocabulary.
      source: the directory of ``files``; None of an object in memory.
    """

    backbone: Described
    tokenizer: Described | None
    preprocessor: Described | None
    task: Described | None
    assets: Path
    source: Path | None = None
    files: tuple[str, ...] = ()


def read_preset(path: Path) -> Preset:
    """The preset in a directory; its weights are not looked at.

    Raises:
      CheckpointError: a file that is no serialised object of Keras.
    """
    found = {name: _described(path / name) for name in JSON_FILES if name != "metadata.json"}
    backbone = found[_BACKBONE]
    assert backbone is not None
    there = [name for name in JSON_FILES if (path / name).is_file()]
    assets = path / ASSETS
    vocabulary = sorted(file.name for file in assets.iterdir() if file.is_file()) if assets.is_dir() else []
    return Preset(
        backbone,
        found[_TOKENIZER],
        found[_PREPROCESSOR],
        found[_TASK],
        assets,
        path,
        (*there, *(f"{ASSETS}/{name}" for name in vocabulary)),
    )


def _described(path: Path) -> Described | None:
    if not path.is_file():
        return None
    found = read_json(path)
    name, config = found.get("class_name"), found.get("config")
    if not isinstance(name, str) or not isinstance(config, dict):
        raise CheckpointError(f"{path} must hold an object of Keras: 'class_name' and 'config'")
    return Described(name, config)


@contextmanager
def preset_tokenizer(path: Path) -> Iterator[Path]:
    """A folder with the tokenizer alone, in the reference's files, for as long as it is open."""
    preset = read_preset(path)
    if preset.tokenizer is None:
        raise CheckpointError(f"{path} is a KerasHub preset without a tokenizer: it has no {_TOKENIZER}")
    with TemporaryDirectory(prefix="genserve-preset-") as folder:
        write_tokenizer(preset.tokenizer.class_name, preset.tokenizer.config, preset.assets, Path(folder))
        yield Path(folder)


class PresetCheckpoint(Checkpoint):
    """A preset; its temporary folder lives as long as this object.

    Args:
      variables: of an object in memory, by the paths of its weights file; None reads the files.

    Raises:
      CheckpointError: files are missing, damaged or contradict each other.
      UnsupportedError: an architecture, tokenizer or setting that cannot be exported, by name.
    """

    def __init__(self, preset: Preset, variables: Mapping[str, StoredTensor] | None = None) -> None:
        self._folder = TemporaryDirectory(prefix="genserve-preset-")
        self._preset, self._given = preset, variables
        notes = write_reference(preset, self._variables, Path(self._folder.name))
        super().__init__(self._folder.name)
        self.source = preset.source or self.path
        self.place = preset.source or Path("the task in memory")
        for line in notes:
            self.note(line)

    @property
    def source_files(self) -> list[str]:
        """The preset's own files; of an object, those that were made of it."""
        if self._preset.source is None:
            return sorted(file.name for file in self.path.iterdir())
        return sorted((*self._preset.files, *weight_files(self._preset.source)))

    @cached_property
    def _variables(self) -> Mapping[str, StoredTensor]:
        if self._given is not None or self._preset.source is None:
            return self._given or {}
        return stored_variables(self._preset.source)

    def _stored_tensors(self) -> Mapping[str, StoredTensor]:
        backbone = self._preset.backbone
        table = architecture_of(backbone.class_name, backbone.config).table
        return reference_tensors(table, backbone.config, self._variables)
