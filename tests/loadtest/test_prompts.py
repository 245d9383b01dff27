"""Prompts: of files, and made in wanted lengths."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from exporter.errors import OptionError
from exporter.loadtest.made_prompts import make_prompts
from exporter.loadtest.prompt_file import read_rows
from exporter.loadtest.prompt_lengths import PromptLengths


def draw(
    text: str, count: int = 2000, buckets: Sequence[int] = (8, 32), longest: int | None = 32
) -> list[int]:
    return PromptLengths.parse(text).draw(np.random.default_rng(1), count, buckets, longest)


def test_lengths() -> None:
    assert set(draw("7")) == {7}
    assert set(draw("3-6")) == {3, 4, 5, 6}
    assert set(draw("20-100", longest=None)) == set(range(20, 101))
    assert set(draw("lognormal:400:0.1")) == {32}
    assert min(draw("lognormal:2:3")) == 1


def test_lognormal_has_its_median_and_sigma() -> None:
    lengths = np.asarray(draw("lognormal:40:0.8", 20_000, longest=None))
    assert np.median(lengths) == pytest.approx(40, rel=0.03)
    assert np.log(lengths).std() == pytest.approx(0.8, rel=0.05)


def test_every_bucket_is_met_as_often() -> None:
    lengths = np.asarray(draw("buckets", 8000))
    assert set(lengths) == set(range(1, 33))
    assert (lengths <= 8).mean() == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize(
    "text", ["", "0", "5-3", "-4", "4-", "lognormal:3", "lognormal:0:1", "lognormal:9:99", "x"]
)
def test_distributions_that_are_none(text: str) -> None:
    with pytest.raises(OptionError, match="--prompt-tokens"):
        PromptLengths.parse(text)


def test_longer_ones_than_the_server_takes() -> None:
    with pytest.raises(OptionError, match="up to 100 tokens; the longest bucket has 32"):
        draw("20-100")


def test_what_is_made_where_nothing_is_asked_for() -> None:
    unsaid = PromptLengths.unsaid
    assert [str(unsaid((8, 32), 32)), str(unsaid((), 32)), str(unsaid((), None))] == ["buckets", "1-32", "32"]


@pytest.mark.parametrize("text", ["buckets", "7", "3-6", "lognormal:40:0.8"])
def test_distributions_are_named_as_they_are_written(text: str) -> None:
    assert str(PromptLengths.parse(text)) == text


def test_unknown_buckets_are_told() -> None:
    with pytest.raises(OptionError, match="--manifest"):
        draw("buckets", buckets=())


async def letters(texts: Sequence[str]) -> list[int | None]:
    """A tokenizer that puts one token in front of every text, and gives each letter and space one."""
    return [1 + len(text) for text in texts]


async def nobody(texts: Sequence[str]) -> list[int | None]:
    return [None] * len(texts)


def test_made_prompts_have_their_lengths() -> None:
    lengths = [1, 4, 5, 20, 21, 22, 100]
    made = asyncio.run(make_prompts(lengths, letters, np.random.default_rng(0)))
    counts = asyncio.run(letters(made))
    # "the" has four; the cheapest word behind it is " a", of two.
    for wanted, found in zip(lengths, counts, strict=True):
        assert found is not None
        assert max(4, wanted - 1) <= found <= max(4, wanted)
    assert len(set(made[2:])) == 5


def test_words_where_nobody_counts() -> None:
    made = asyncio.run(make_prompts([1, 6, 30], nobody, np.random.default_rng(0)))
    assert [len(text.split()) for text in made] == [1, 6, 30]


def test_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, rows = tmp_path / "a.txt", tmp_path / "b.jsonl"
    plain.write_text('Once\n\n{"prompt": "upon"}\n', encoding="utf-8")
    rows.write_text('{"prompt": "ä\u2028\x85", "max_new_tokens": 3}\n', encoding="utf-8")
    assert read_rows(plain) == [{"prompt": "Once"}, {"prompt": '{"prompt": "upon"}'}]
    assert read_rows(rows) == [{"prompt": "ä\u2028\x85", "max_new_tokens": 3}]  # in one line, as JSON allows
    monkeypatch.setattr("sys.stdin", io.StringIO("a\nb\n"))
    assert read_rows(Path("-")) == [{"prompt": "a"}, {"prompt": "b"}]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no prompt"),
        (b"\n \n", "no prompt"),
        (b"\xff", "cannot be read"),
        (b'{"a": 1}\n{', "line 2: no JSON"),
        (b"[1]", "line 1: must be an object"),
        (b"{}", "line 1: must be an object"),
    ],
)
def test_files_that_are_none(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(content)
    with pytest.raises(OptionError, match=words):
        read_rows(path)
    with pytest.raises(OptionError, match="cannot be read"):
        read_rows(tmp_path / "missing.txt")
