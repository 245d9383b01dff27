"""Published tokenizers against their reference: corpora, generated strings, random ids.

Every folder of ../shared/tokenizers is here: exact, also through the signatures of its reloaded SavedModel,
or refused by name.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import tensorflow as tf

from exporter.errors import GenserveError
from exporter.tokenizer import build_tokenizer, verify_tokenizer
from tests.tokenizer.published import FOLDERS, LAYOUTS, REFUSED, source_of
from tests.tokenizer.served import Reloaded
from tests.tokenizer.support import corpus_lines

NAMES = [*FOLDERS, *LAYOUTS]
#: Saved and reloaded in the quick tier, too: one of each pipeline.
RELOADED = ("gpt2", "t5", "mistral-7b-v0.3-instruct", "bert-base-cased", "opus-mt-en-mg", "barthez", "clip")


def test_every_folder_is_named(shared: Path) -> None:
    """A tokenizer that is added to the shared folder cannot be passed over in silence."""
    folders = {path.name for path in (shared / "tokenizers").iterdir() if path.is_dir()}
    refused = {layout.folder for layout, _ in REFUSED.values()}
    assert folders == {*FOLDERS, *(layout.folder for layout in LAYOUTS.values()), *refused}


@pytest.mark.parity
@pytest.mark.parametrize("name", NAMES)
def test_published_tokenizer(name: str, shared: Path, full: bool, tmp_path: Path) -> None:
    """Through the reloaded signatures in the full run, in the quick tier as it was compiled."""
    source = source_of(name, tmp_path / "source")
    tokenizer = build_tokenizer(source)
    if full:
        tokenizer = Reloaded(tokenizer, tmp_path / "saved")
    lines = corpus_lines(shared, full)
    report = verify_tokenizer(source, lines, count=20_000 if full else 500, tokenizer=tokenizer)
    assert report.mismatches == 0, str(report)
    assert report.refused == 0


@pytest.mark.parity
@pytest.mark.parametrize("name", RELOADED)
def test_reloaded_signatures(name: str, shared: Path, tmp_path: Path) -> None:
    source = source_of(name, tmp_path / "source")
    reloaded = Reloaded(build_tokenizer(source), tmp_path / "saved")
    report = verify_tokenizer(source, corpus_lines(shared, False)[::4], count=200, tokenizer=reloaded)
    assert report.mismatches == 0, str(report)


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str, shared: Path, tmp_path: Path) -> None:
    """Where transformers has no converter there is nothing to equal; the message names the way out."""
    layout, reason = REFUSED[name]
    source = layout.write(tmp_path)
    with pytest.raises(GenserveError, match=rf"(?s){reason}.*--tokenizer none"):
        build_tokenizer(source)


@pytest.mark.parametrize(
    ("folder", "ids"),
    [("bert-base-cased", [101, 8667, 1362, 102]), ("openai-gpt", [3570, 1276])],
)
def test_a_directory_of_vocabulary_files_alone(folder: str, ids: list[int], shared: Path) -> None:
    """Without configuration the vocabulary tells whether text is lower-cased."""
    encode = build_tokenizer(shared / "tokenizers" / folder).encode
    assert encode(tf.constant(["Hello world"])).to_list() == [ids]


@pytest.mark.parametrize("folder", ["gpt2", "roberta-base"])
def test_special_tokens_as_plain_text(folder: str, shared: Path) -> None:
    source = shared / "tokenizers" / folder
    graph = build_tokenizer(source, special_tokens_in_text=False)
    report = verify_tokenizer(source, count=300, tokenizer=graph, special_tokens_in_text=False)
    assert report.mismatches == 0, str(report)
