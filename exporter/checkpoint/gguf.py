"""A GGUF file as a checkpoint: what transformers makes of it, in files beside which its tensors are read."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from exporter.checkpoint.checkpoint import Checkpoint
from exporter.checkpoint.files import some
from exporter.checkpoint.gguf_config import config_of, unread
from exporter.checkpoint.gguf_file import GgufFile, read_gguf
from exporter.checkpoint.gguf_names import LAYOUTS, by_reference_names
from exporter.checkpoint.tensor import StoredTensor

#: What the tokenizer is made of; ``tokenizer.from_gguf`` writes tokenizer.json beside it.
TOKENIZER = "gguf_tokenizer.json"
_PREFIX = "tokenizer."


class GgufCheckpoint(Checkpoint):
    """One file. ``path`` is a temporary directory with config.json and the tokenizer's parts.

    It is there as long as this object.

    Raises:
      CheckpointError: the file is damaged, or of an architecture or type that is not read.
    """

    def __init__(self, file: Path) -> None:
        self._gguf = read_gguf(file)
        self._directory = tempfile.TemporaryDirectory(prefix="genserve-gguf-")
        path = Path(self._directory.name)
        config = config_of(self._gguf)
        _write(path / "config.json", config)
        if f"{_PREFIX}ggml.model" in self._gguf.metadata:
            _write(path / TOKENIZER, _tokenizer(self._gguf, config))
        super().__init__(path)
        self.source, self.place = file.parent, file

    def _stored_tensors(self) -> Mapping[str, StoredTensor]:
        kinds = Counter(tensor.kind for tensor in self._gguf.tensors.values())
        names = ", ".join(f"{kind} ({count})" for kind, count in kinds.most_common())
        self.note(f"tensors are read as float32 from {names}")
        if passed := unread(self._gguf):
            self.note(f"metadata that transformers does not read; its defaults count: {some(passed, 9)}")
        layout = LAYOUTS[self._gguf.metadata["general.architecture"]]
        return by_reference_names(self._gguf.tensors, layout, self.config)

    @property
    def source_files(self) -> list[str]:
        """The file alone: configuration and tokenizer are in it."""
        return [self.place.name]


def _tokenizer(file: GgufFile, config: Mapping[str, Any]) -> dict[str, Any]:
    parts = {
        key.removeprefix(_PREFIX): value for key, value in file.metadata.items() if key.startswith(_PREFIX)
    }
    return {
        "file": str(file.path),
        "architecture": file.metadata["general.architecture"],
        "model_type": config["model_type"],
        "metadata": parts,
    }


def _write(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
