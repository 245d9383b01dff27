"""Character classes: what the library answers, and what RE2 makes of the ranges."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tokenizers
from tokenizers import pre_tokenizers

from exporter.tokenizer import chars
from tests.tokenizer.support import tensor


@pytest.mark.parametrize("pattern", [r"\s", r"\p{L}", r"[^\r\n\p{L}\p{N}]", r"[\p{L}&&[^\p{Han}]]", "."])
def test_a_class_holds_exactly_what_the_library_matches(pattern: str) -> None:
    members = chars.regex_class(pattern)
    split = pre_tokenizers.Split(tokenizers.Regex(pattern), "isolated").pre_tokenize_str
    # Between two marks that are no letters, white space or digits, a match is always a piece of its own.
    points = [*range(0x3000), *range(0x3000, 0x110000, 101)]
    for point in (p for p in points if not 0xD800 <= p < 0xE000):
        matched = len(split(chr(point))) == 1 and split(chr(point) * 2) != [(chr(point) * 2, (0, 2))]
        assert matched == members[point], hex(point)


def test_case_is_folded_as_the_library_folds_it() -> None:
    assert np.flatnonzero(chars.regex_class("s", ignore_case=True)).tolist() == [ord("S"), ord("s"), 0x17F]


@pytest.mark.parametrize("name", ["WhitespaceSplit", "Whitespace"])
def test_removed_characters(name: str) -> None:
    removed = chars.removed_by(name)
    probe = chars.PROBES[name]
    for point in [*range(0x3100), 0xFEFF, 0x1D7CE, 0x10FFFF]:
        assert removed[point] == (probe.pre_tokenize_str(chr(point)) == []), hex(point)


@pytest.mark.parametrize(
    ("name", "probe"),
    [
        ("Punctuation", pre_tokenizers.Punctuation("isolated")),
        ("Digits", pre_tokenizers.Digits(individual_digits=True)),
        ("Whitespace", pre_tokenizers.Whitespace()),
    ],
)
def test_parted_characters(name: str, probe: pre_tokenizers.PreTokenizer) -> None:
    parted = chars.parted_by(name)
    for point in [*range(0x3100), 0x1D7CE, 0x1F600, 0x10FFFF]:
        assert parted[point] == (len(probe.pre_tokenize_str("a" + chr(point))) == 2), hex(point)


def test_re2_sees_the_same_set_over_all_code_points() -> None:
    members = chars.regex_class(r"\p{L}")
    found = tf.strings.regex_full_match(tensor(list(chars.all_characters())), chars.re2_class(members))
    assert np.array_equal(found.numpy(), members[chars.scalar_values()])


def test_ranges() -> None:
    assert chars.ranges(chars.charset([1, 2, 3, 7, 0xD7FF, 0xE000, 0x10FFFF])) == [
        (1, 3),
        (7, 7),
        (0xD7FF, 0xE000),
        (0x10FFFF, 0x10FFFF),
    ]
    assert chars.re2_class(chars.charset([0x41, 0x43, 0x44])) == r"[\x{41}\x{43}-\x{44}]"
    with pytest.raises(ValueError, match="empty"):
        chars.re2_class(chars.charset([]))


def test_maps_of_single_characters_survive_the_separator_itself() -> None:
    answers = chars.map_characters(str.upper, "\u2d30")
    by_point = dict(zip(chars.scalar_values().tolist(), answers, strict=True))
    assert [by_point[ord(c)] for c in "a\u2d2f\u2d30\u2d31ß"] == [c.upper() for c in "a\u2d2f\u2d30\u2d31ß"]
