"""Translated patterns, through the graph's own split, against the library."""

from __future__ import annotations

import itertools

import pytest
import tensorflow as tf
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import pre_tokenizers

from exporter.errors import TokenizerUnsupportedError
from exporter.tokenizer import pieces, regex
from exporter.tokenizer.pre_tokenizers import GPT2_PATTERN, isolate
from tests.tokenizer.support import assert_equal, tensor, traced

_O200K_WORD = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
PATTERNS = {
    "gpt2": GPT2_PATTERN,
    "qwen2": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+",
    "cl100k": r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*"
    r"|\s*[\r\n]|\s+(?!\S)|\s+",
    "o200k": rf"[^\r\n\p{{L}}\p{{N}}]?{_O200K_WORD}|\p{{N}}{{1,3}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+",
    "single white space at the end": r" ?\p{L}+|\s+(?!\S)|\s",
    "bloom": r" ?[^(\s|[.,!?…。，、।۔،])]+",
    "intersection": r"[\p{L}&&[^\p{Han}]]+|\p{Han}",
    "clip": r"<\|startoftext\|>|'s|'t|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+",
    "lazy": r"a+?b|\s+?\w",
    "quantified interval": r"\d{2}+|a{,2}b",
    "escapes": r"\x61|\x{1F600}|\u00e9|\t|\.|[\[\]a-c\-]",
}


@pytest.mark.parametrize("pattern", PATTERNS.values(), ids=PATTERNS.keys())
def test_every_short_text_is_cut_as_the_library_cuts_it(pattern: str) -> None:
    """All texts of up to six characters, each standing for a class that the patterns tell apart."""
    alphabet = " \n\ta1's!" if len(pattern) > 60 else " \nab1's!"
    short = ["".join(text) for size in range(1, 6) for text in itertools.product(alphabet, repeat=size)]
    _assert_cut(pattern, short)


@pytest.mark.parametrize("name", ["gpt2", "qwen2", "cl100k", "o200k"])
def test_hypothesis_finds_no_text_that_is_cut_otherwise(name: str) -> None:
    function = _cutter(PATTERNS[name])

    @settings(max_examples=100, deadline=None)
    @given(st.lists(st.text(max_size=30), min_size=1, max_size=20))
    def check(texts: list[str]) -> None:
        texts = [text for text in texts if text]
        assert_equal(texts, _cut(function, texts), _library(PATTERNS[name]))

    check()


def _cutter(pattern: str):  # type: ignore[no-untyped-def]
    stage = isolate(regex.translate(pattern, "pre_tokenizer"))
    return traced(lambda texts: tuple(pieces.split_at_cuts(stage(pieces.from_rows(texts)))))


def _cut(function, texts: list[str]) -> list[list[str]]:  # type: ignore[no-untyped-def]
    cut, splits = function(tensor(texts))
    rows = tf.RaggedTensor.from_row_splits(cut, splits).to_list()
    return [[piece.decode("utf-8", "backslashreplace") for piece in row] for row in rows]


def _library(pattern: str):  # type: ignore[no-untyped-def]
    split = pre_tokenizers.Split(tokenizers.Regex(pattern), "isolated").pre_tokenize_str
    return lambda text: [piece for piece, _ in split(text)]


def _assert_cut(pattern: str, texts: list[str]) -> None:
    assert_equal(texts, _cut(_cutter(pattern), texts), _library(pattern))


def test_the_worked_example_of_the_module() -> None:
    found = regex.translate(GPT2_PATTERN, "")
    assert found.cut
    assert found.total
    marked = tf.strings.regex_replace("a   b", found.cut, r"\1|\2")
    assert marked.numpy() == b"a  | b"


def test_a_line_end_is_not_cut_at_where_another_arm_takes_it() -> None:
    cut = regex.translate(PATTERNS["qwen2"], "").cut
    assert cut
    assert tf.strings.regex_replace("a  \nb", cut, r"\1|\2").numpy() == b"a  \nb"


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        (r"a(?!b)", "look-ahead"),
        (r"(?=a)b", r"\(\?=a"),
        (r"(?<=a)b", r"\(\?<="),
        (r"a(?!bc)", "more than one character"),
        (r"\s+(?!\S)", "look-ahead"),
        (r" ?\S+[\r\n]*|\s+(?!\S)|\s+", "separated"),
        (r"^a", "anchor"),
        (r"a$", "anchor"),
        (r"a*", "empty string"),
        (r"(?:a*)+b", "may be empty"),
        (r"a++a", "possessive"),
        (r"(?:ab)++a", "possessive"),
        (r"(?i:ss)", "without case"),
        (r"\Ga", "escape"),
        (r"(a)\1", "escape"),
        (r"a{2}?b", "after an interval"),
        (r"(a", "not closed"),
        (r"a)", "unbalanced"),
        (r"[a", "not closed"),
        (r"+a", "quantifier"),
        (r"\p{Nonsense}", "refuses"),
    ],
)
def test_what_has_no_exact_translation_is_refused(pattern: str, reason: str) -> None:
    with pytest.raises(TokenizerUnsupportedError, match=reason) as caught:
        regex.translate(pattern, "pre_tokenizer.pattern")
    assert caught.value.path == "pre_tokenizer.pattern"


def test_a_literal_has_no_special_characters() -> None:
    text = r"a.b|c\(\0" + "\n"
    assert bool(tf.strings.regex_full_match(tensor([text]), regex.translate_literal(text)).numpy()[0])
