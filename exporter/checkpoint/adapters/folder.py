"""A checkpoint together with an adapter that is merged into it."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from exporter.checkpoint.adapters.adapter import Adapter
from exporter.checkpoint.checkpoint import SMALL_SUFFIXES, Checkpoint
from exporter.checkpoint.files import ADAPTER_CONFIG

#: What stays the base's where an adapter has a tokenizer of its own.
_OF_BASE = ("config.json", "generation_config.json")


def with_adapter(checkpoint: Checkpoint, adapter: Adapter) -> Checkpoint:
    """The checkpoint, changed: its weights are merged when they are asked for by the reference's names.

    Training scripts save a tokenizer beside an adapter (tokens that were added, a chat template): where there
    is one it is the one that counts, as in ``AutoTokenizer.from_pretrained(ADAPTER)``.
    """
    checkpoint.adapter = adapter
    checkpoint.note(adapter.describe())
    if adapter.has_tokenizer:
        checkpoint.note(f"the tokenizer is the adapter's, {adapter.path}")
        checkpoint.own_folder(joined(checkpoint.path, adapter.path))
    return checkpoint


def joined(base: Path, adapter: Path) -> tempfile.TemporaryDirectory[str]:
    """A folder with the base's configuration and the adapter's tokenizer."""
    folder = tempfile.TemporaryDirectory(prefix="genserve-adapter-")
    files = [base / name for name in _OF_BASE if (base / name).is_file()]
    taken = {*_OF_BASE, ADAPTER_CONFIG}
    files += [file for file in adapter.iterdir() if file.suffix in SMALL_SUFFIXES and file.name not in taken]
    for file in files:
        shutil.copyfile(file, Path(folder.name) / file.name)
    return folder
