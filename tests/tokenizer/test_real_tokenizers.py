"""Published tokenizers against their reference: corpora, generated strings, random ids.

Every tokenizer of the test data is here: exact, also through the signatures of its reloaded SavedModel,
or refused by name.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import tensorflow as tf

from exporter.errors import GenserveError
from exporter.tokenizer import TokenizerGraph, build_tokenizer, verify_tokenizer
from exporter.tokenizer.reference import reference_of
from exporter.tokenizer.sources import read_source
from tests.tokenizer.published import FOLDERS, LAYOUTS, REFUSED, folder_of, source_of
from tests.tokenizer.searches import assert_batched_as_alone, assert_hypothesis_finds_nothing
from tests.tokenizer.served import Reloaded, Traced
from tests.tokenizer.support import corpus_lines, texts

NAMES = [*FOLDERS, *LAYOUTS]
#: Saved and reloaded in the quick tier, too: one of each pipeline.
RELOADED = ("gpt2", "t5", "mistral-7b-v0.3-instruct", "bert-base-cased", "opus-mt-en-mg", "barthez", "clip")


def test_every_folder_is_named(test_data: Path) -> None:
    """A tokenizer that is added to the test data cannot be passed over in silence."""
    folders = {path.name for path in (test_data / "tokenizers").iterdir() if path.is_dir()}
    refused = {layout.folder for layout, _ in REFUSED.values()}
    assert folders <= {*FOLDERS, *(layout.folder for layout in LAYOUTS.values()), *refused}


@dataclass(frozen=True)
class Published:
    """A tokenizer, and what it is compiled from."""

    source: Path
    tokenizer: TokenizerGraph


@pytest.fixture(scope="module", params=NAMES)
def published(
    request: pytest.FixtureRequest, test_data: Path, full: bool, tmp_path_factory: pytest.TempPathFactory
) -> Published:
    """Behind the reloaded signatures in the full run, in the quick tier as it was compiled."""
    folder = tmp_path_factory.mktemp("published")
    source = source_of(request.param, folder / "source")
    tokenizer = build_tokenizer(source)
    return Published(source, Reloaded(tokenizer, folder / "saved") if full else Traced(tokenizer))


@pytest.mark.parity
def test_published_tokenizer(published: Published, test_data: Path, full: bool) -> None:
    """Random ids, too, which make ill-formed UTF-8; in the full run 20,000 strings and whole corpora."""
    lines = corpus_lines(test_data, full)
    count = 20_000 if full else 500
    report = verify_tokenizer(published.source, lines, count=count, tokenizer=published.tokenizer)
    assert report.mismatches == 0, str(report)
    assert report.refused == 0


@pytest.mark.parity
def test_found_by_hypothesis_and_one_by_one(published: Published, full: bool) -> None:
    reference = reference_of(read_source(published.source))
    assert_hypothesis_finds_nothing(published.tokenizer, reference, examples=300 if full else 10)
    strings = texts(False, seed=7, tokens=reference.tokens)[: 500 if full else 40]
    assert_batched_as_alone(published.tokenizer, strings)


@pytest.mark.parity
@pytest.mark.parametrize("name", RELOADED)
def test_reloaded_signatures(name: str, test_data: Path, tmp_path: Path) -> None:
    source = source_of(name, tmp_path / "source")
    reloaded = Reloaded(build_tokenizer(source), tmp_path / "saved")
    report = verify_tokenizer(source, corpus_lines(test_data, False)[::4], count=200, tokenizer=reloaded)
    assert report.mismatches == 0, str(report)


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str, test_data: Path, tmp_path: Path) -> None:
    """Where transformers has no converter there is nothing to equal; the message names the way out."""
    layout, reason = REFUSED[name]
    source = layout.write(tmp_path)
    with pytest.raises(GenserveError, match=rf"(?s){reason}.*--tokenizer none"):
        build_tokenizer(source)


@pytest.mark.parametrize(
    ("folder", "ids"),
    [("bert-base-cased", [101, 8667, 1362, 102]), ("openai-gpt", [3570, 1276])],
)
def test_a_directory_of_vocabulary_files_alone(folder: str, ids: list[int], test_data: Path) -> None:
    """Without configuration the vocabulary tells whether text is lower-cased."""
    encode = build_tokenizer(folder_of(folder)).encode
    assert encode(tf.constant(["Hello world"])).to_list() == [ids]


@pytest.mark.parametrize("folder", ["gpt2", "roberta-base"])
def test_special_tokens_as_plain_text(folder: str, test_data: Path) -> None:
    source = folder_of(folder)
    graph = build_tokenizer(source, special_tokens_in_text=False)
    report = verify_tokenizer(source, count=300, tokenizer=graph, special_tokens_in_text=False)
    assert report.mismatches == 0, str(report)
