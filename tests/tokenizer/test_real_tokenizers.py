"""Published tokenizers against their reference: corpora, generated strings, random ids."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import tensorflow as tf

from exporter.errors import CheckpointError
from exporter.tokenizer import build_tokenizer, verify_tokenizer
from tests.conftest import SHARED

FOLDERS = sorted(path.parent.name for path in SHARED.glob("tokenizers/*/tokenizer.json"))
FOLDERS += sorted(path.parent.name for path in SHARED.glob("tokenizers/*/source.spm"))  # Marian
# Folders without tokenizer.json: (folder, files, the model_type that a checkpoint's config.json would name)
OLDER = {
    "gpt2 from vocab.json": ("gpt2", ("vocab.json", "merges.txt"), None),
    "roberta-base from vocab.json": ("roberta-base", ("vocab.json", "merges.txt"), "roberta"),
    "openai-gpt": ("openai-gpt", ("vocab.json", "merges.txt"), None),
    "bert-base-uncased from vocab.txt": ("bert-base-uncased", ("vocab.txt",), "bert"),
    "bert-base-cased": ("bert-base-cased", ("vocab.txt",), None),
    "t5 from spiece.model": ("t5", ("spiece.model",), "t5"),
    "barthez from its SentencePiece model": ("barthez", ("sentencepiece.bpe.model",), "mbart"),
    "mistral from tokenizer.model": ("mistral-7b-v0.1", ("tokenizer.model",), "llama"),
}


def corpus_lines(shared: Path, full: bool) -> list[str]:
    """Every line in the full run, every 60th in the quick tier, and some longer texts."""
    lines: list[str] = []
    for name in ("tinyshakespeare", "botchan", "udhr_all"):
        text = (shared / "corpora" / f"{name}.txt").read_text(encoding="utf-8")
        lines += text.split("\n")[:: 1 if full else 60]
        lines += [text[start : start + 2000] for start in range(0, len(text), 40_000 if full else 400_000)]
    return lines


@pytest.mark.parity
@pytest.mark.parametrize(
    "folder", FOLDERS or [pytest.param("", marks=pytest.mark.skip("../shared is absent"))]
)
def test_published_tokenizer(folder: str, shared: Path, full: bool) -> None:
    source = shared / "tokenizers" / folder
    report = verify_tokenizer(source, corpus_lines(shared, full), count=20_000 if full else 500)
    assert report.mismatches == 0, str(report)
    assert report.refused == 0


@pytest.mark.parity
@pytest.mark.parametrize("name", OLDER)
def test_files_of_an_older_layout(name: str, shared: Path, full: bool, tmp_path: Path) -> None:
    """Read by transformers' converters, whose result is the reference."""
    folder, files, model_type = OLDER[name]
    for file in files:
        shutil.copy(shared / "tokenizers" / folder / file, tmp_path / file)
    if model_type:
        (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type}))
    report = verify_tokenizer(tmp_path, corpus_lines(shared, full), count=20_000 if full else 500)
    assert report.mismatches == 0, str(report)


@pytest.mark.parametrize(
    ("folder", "ids"),
    [("bert-base-cased", [101, 8667, 1362, 102]), ("openai-gpt", [3570, 1276])],
)
def test_a_directory_of_vocabulary_files_alone(folder: str, ids: list[int], shared: Path) -> None:
    """Without configuration the vocabulary tells whether text is lower-cased."""
    encode = build_tokenizer(shared / "tokenizers" / folder).encode
    assert encode(tf.constant(["Hello world"])).to_list() == [ids]


@pytest.mark.parametrize("config", [None, "bigbird_pegasus"])
def test_a_sentencepiece_model_that_transformers_cannot_convert(
    config: str | None, shared: Path, tmp_path: Path
) -> None:
    shutil.copy(shared / "tokenizers" / "bigbird-pegasus" / "spiece.model", tmp_path)
    if config:
        (tmp_path / "config.json").write_text(json.dumps({"model_type": config}))
    with pytest.raises(CheckpointError, match=r"model_type|transformers cannot read"):
        build_tokenizer(tmp_path)


@pytest.mark.parametrize("folder", ["gpt2", "roberta-base"])
def test_special_tokens_as_plain_text(folder: str, shared: Path) -> None:
    source = shared / "tokenizers" / folder
    graph = build_tokenizer(source, special_tokens_in_text=False)
    report = verify_tokenizer(source, count=300, tokenizer=graph, special_tokens_in_text=False)
    assert report.mismatches == 0, str(report)
