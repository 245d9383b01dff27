"""The published tokenizers of the test data: how each is read, or why it is refused."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import TEST_DATA


@dataclass(frozen=True)
class Layout:
    """A checkpoint directory made of a folder's files.

    Attributes:
      folder: in the test data's ``tokenizers``.
      files: name there -> name in the checkpoint.
      model_type: what the checkpoint's config.json names; None: there is no config.json.
    """

    folder: str
    files: dict[str, str]
    model_type: str | None = None

    def write(self, directory: Path) -> Path:
        """Puts the files there."""
        directory.mkdir(parents=True, exist_ok=True)
        for source, target in self.files.items():
            shutil.copy(folder_of(self.folder) / source, directory / target)
        if self.model_type:
            (directory / "config.json").write_text(json.dumps({"model_type": self.model_type}))
        return directory


def _same(*names: str) -> dict[str, str]:
    return {name: name for name in names}


def folder_of(name: str) -> Path:
    """A folder of the test data; what was not fetched (gated files) skips its test visibly."""
    folder = (TEST_DATA or Path()) / "tokenizers" / name
    if TEST_DATA is None or not folder.is_dir():
        pytest.skip(f"the test data has no tokenizers/{name}: scripts/fetch_test_data says how to get it")
    return folder


#: Folders that are read as they stand: those with tokenizer.json, and Marian.
FOLDERS = [
    "barthez",
    "bert-base-uncased",
    "clip",
    "gpt-neox-20b",
    "gpt-oss",
    "gpt2",
    "mistral-7b-v0.1",
    "mistral-7b-v0.3-instruct",
    "mistral-nemo",
    "phi-3-mini",
    "qwen2",
    "qwen3",
    "roberta-base",
    "t5",
    "whisper-tiny",
    "opus-mt-en-mg",
]

#: Files of an older layout, which transformers converts.
LAYOUTS = {
    "gpt2 from vocab.json": Layout("gpt2", _same("vocab.json", "merges.txt")),
    "roberta-base from vocab.json": Layout("roberta-base", _same("vocab.json", "merges.txt"), "roberta"),
    "openai-gpt": Layout("openai-gpt", _same("vocab.json", "merges.txt")),
    "bert-base-uncased from vocab.txt": Layout("bert-base-uncased", _same("vocab.txt"), "bert"),
    "bert-base-cased": Layout("bert-base-cased", _same("vocab.txt")),
    "t5 from spiece.model": Layout("t5", _same("spiece.model"), "t5"),
    "tf-text-test as T5's spiece.model": Layout(
        "tf-text-test", {"test_oss_model.model": "spiece.model"}, "t5"
    ),
    "barthez from its SentencePiece model": Layout("barthez", _same("sentencepiece.bpe.model"), "mbart"),
    "mistral from tokenizer.model": Layout("mistral-7b-v0.1", _same("tokenizer.model"), "llama"),
}

#: What has no reference: (layout, what the refusal says).
REFUSED = {
    "bigbird-pegasus": (
        Layout("bigbird-pegasus", _same("spiece.model"), "bigbird_pegasus"),
        r"no converter for spiece\.model of model_type 'bigbird_pegasus'",
    ),
    "bigbird-pegasus without config.json": (
        Layout("bigbird-pegasus", _same("spiece.model")),
        r"a SentencePiece model needs a config\.json that names its model_type",
    ),
    "tf-text-test": (
        Layout("tf-text-test", _same("fast_sentencepiece.model", "test_oss_model.model")),
        r"a SentencePiece model needs a config\.json that names its model_type",
    ),
}


def source_of(name: str, directory: Path) -> Path:
    """Where a tokenizer of ``FOLDERS`` or ``LAYOUTS`` lies; layouts are written to ``directory``."""
    return LAYOUTS[name].write(directory) if name in LAYOUTS else folder_of(name)
