"""Translated patterns, through the graph's own split, against the library."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest
import tensorflow as tf
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import pre_tokenizers

from exporter.errors import TokenizerUnsupportedError
from exporter.tokenizer import nodes, pieces, regex
from exporter.tokenizer.pre_tokenizers import GPT2_PATTERN, build_pre_tokenizer, isolate, split_stage
from exporter.tokenizer.samples import sample_strings
from tests.tokenizer.support import assert_equal, library, tensor, traced

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


RUNS = {
    "white space before a line end": (r"\s+$", " \na1"),
    "spaces before a line end": (r" +$", " \na\t"),
    "all but the last": (r"\s+(?!\S)", " \na1"),
    "blocks": (r"\s{2}(?!\S)", " \na1"),
    "blocks of 512": (r"\s{512}(?!\S)", " a"),
    "groups before a word's end": (r"\d{1,3}(?=(?:\d{3})*\b)", "01 a_."),
    "groups of two": (r"\d{1,2}(?=(\d{2})*(?!\d))", "01 a."),
    "places of groups": (r"(?=(\d{3})+(?!\d))", "01 a."),
    "places of groups before a word's end": (r"(?=(?:\d{2})+\b)", "01 a."),
}
BEHAVIORS = {
    "Isolated": "isolated",
    "Removed": "removed",
    "MergedWithPrevious": "merged_with_previous",
    "MergedWithNext": "merged_with_next",
    "Contiguous": "contiguous",
}
#: Every pattern as it is published; every behavior for one that matches side by side, and for places.
QUICK = [
    (name, behavior, invert)
    for name, behavior, invert in itertools.product(RUNS, BEHAVIORS, (False, True))
    if (behavior, invert) == ("Isolated", False) or name in ("groups of two", "places of groups")
]


def _run_texts(alphabet: str, count: int) -> list[str]:
    """All short texts, long runs of every length modulo the sizes, and generated ones."""
    short = ["".join(text) for size in range(1, 6) for text in itertools.product(alphabet, repeat=size)]
    marks = ["\u0301", "\u0663\u0669", "\u3000", "\u2028", "_", "\x85"]
    drawn = random.Random(3)
    mixed = ["".join(drawn.choices([*alphabet * 3, *marks], k=drawn.randint(6, 40))) for _ in range(count)]
    runs = [alphabet[0] * n + end for n in (511, 512, 513, 1024, 1025, 1500) for end in ("", *alphabet[1:])]
    return short + mixed + runs + sample_strings(count, 2)


def _assert_runs(name: str, behavior: Any, invert: bool, count: int) -> None:
    pattern, alphabet = RUNS[name]
    texts = _run_texts(alphabet, count)
    stage = split_stage(regex.translate(pattern, ""), behavior, invert, "")
    function = traced(lambda given: tuple(pieces.split_at_cuts(stage(pieces.from_rows(given)))))
    library = pre_tokenizers.Split(tokenizers.Regex(pattern), BEHAVIORS[behavior], invert).pre_tokenize_str
    assert_equal(texts, _cut(function, texts), lambda text: [piece for piece, _ in library(text)])


@pytest.mark.parametrize(("name", "behavior", "invert"), QUICK)
def test_rules_about_runs(name: str, behavior: str, invert: bool) -> None:
    _assert_runs(name, behavior, invert, 300)


@pytest.mark.full
@pytest.mark.parametrize("name", RUNS)
def test_rules_about_runs_with_every_behavior(name: str) -> None:
    for behavior, invert in itertools.product(BEHAVIORS, (False, True)):
        _assert_runs(name, behavior, invert, 5000)


def test_a_rule_looks_at_a_piece_alone() -> None:
    """What an earlier pre-tokenizer has cut is the end of a text, as in the published sequences."""
    split = {"type": "Split", "behavior": "Isolated", "invert": False}
    both = [{**split, "pattern": {"Regex": pattern}} for pattern in ("b", r"\s+$")]
    node = {"type": "Sequence", "pretokenizers": both}
    model = {"type": "BPE", "vocab": {}, "merges": []}
    stage = build_pre_tokenizer(nodes.parse_tokenizer({"model": model, "pre_tokenizer": node}).pre_tokenizer)
    texts = ["a  b  a", " b\n b ", "a \n ab"]
    function = traced(lambda given: tuple(pieces.split_at_cuts(stage(pieces.from_rows(given)))))
    reference = library(pre_tokenizer=node).pre_tokenizer.pre_tokenize_str
    assert_equal(texts, _cut(function, texts), lambda text: [piece for piece, _ in reference(text)])


def test_the_worked_example_of_runs() -> None:
    for pattern, parts in ((r"\d{1,3}(?=(?:\d{3})*\b)", 3), (r"(?=(\d{3})+(?!\d))", 3)):
        assert len(_library(pattern)("1234567")) == parts
        stage = split_stage(regex.translate(pattern, ""), "Isolated", False, "")
        cut = pieces.split_at_cuts(stage(pieces.from_rows(tensor(["1234567"])))).texts
        assert cut.numpy().tolist() == [b"1", b"234", b"567"]


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
        (r"\s+$|a", "anchor"),
        (r"a|\s+(?!\S)", "look-ahead"),
        (r"\s+(?!a)", "look-ahead"),
        (r"\s{2,}(?!\S)", "look-ahead"),
        (r"\s++$", "anchor"),
        (r"\d{1,3}(?=(?:\d{2})*\b)", "the look-ahead"),
        (r"\d{1,3}(?=(?:\d{3})*a)", "groups that end"),
        (r"[\d.]{1,3}(?=(?:[\d.]{3})*\b)", "groups that end"),
        (r"a\b", "word boundary"),
        (r"a(?=b)+", "repeated"),
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
