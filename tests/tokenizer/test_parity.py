"""The comparison itself: it must see a difference, count it, and show it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tensorflow as tf

from exporter.errors import VerificationError
from exporter.tokenizer import TokenizerGraph, build_tokenizer, verify_tokenizer
from exporter.tokenizer.samples import sample_strings
from tests.tokenizer.test_added_tokens import token, tokenizer_json


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "tokenizer.json"
    file.write_text(json.dumps(tokenizer_json([token("<a>", 17)])))
    return file


class _Wrong(TokenizerGraph):
    """A graph that gets one letter wrong in each direction."""

    def __init__(self, graph: TokenizerGraph) -> None:
        super().__init__()
        self.graph = graph
        self.kind, self.vocab_size = graph.kind, graph.vocab_size

    def encode(self, text: tf.Tensor, add_special_tokens: bool = True) -> tf.RaggedTensor:
        return self.graph.encode(tf.strings.regex_replace(text, "c", "b"), add_special_tokens)

    def decode(self, ids: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
        return tf.strings.regex_replace(self.graph.decode(ids, lengths), "y", "x")


def test_equal_answers(path: Path) -> None:
    report = verify_tokenizer(path, ["abc", "a\x00", ""], count=100)
    assert (report.strings, report.mismatches, report.first) == (103, 0, ())
    assert report.check() is report


def test_differences_are_counted_and_shown(path: Path) -> None:
    report = verify_tokenizer(path, ["abc", "ab", "y"], count=0, tokenizer=_Wrong(build_tokenizer(path)))
    actions = [mismatch.action for mismatch in report.first]
    assert "encode" in actions
    assert "decode" in actions
    assert "encode 'abc'" in str(report)
    with pytest.raises(VerificationError, match="reference"):
        report.check()


def test_only_the_first_differences_are_kept(path: Path) -> None:
    report = verify_tokenizer(path, ["c"] * 50, count=0, tokenizer=_Wrong(build_tokenizer(path)))
    assert report.mismatches >= 50
    assert len(report.first) == 5


def test_samples_are_reproducible_and_hold_the_tokens() -> None:
    strings = sample_strings(500, seed=3, tokens=["<a>"])
    assert strings == sample_strings(500, seed=3, tokens=["<a>"])
    assert strings != sample_strings(500, seed=4, tokens=["<a>"])
    assert sum("<a>" in text for text in strings) > 50
    assert any("\x00" in text for text in strings)
    assert any(ord(character) > 0xFFFF for text in strings for character in text)
    "".join(strings).encode()  # no surrogates
