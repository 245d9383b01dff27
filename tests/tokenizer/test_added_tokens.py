"""Added and special tokens: every flag, alone and together, against the library."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.errors import TokenizerUnsupportedError
from exporter.tokenizer import build_tokenizer, pieces
from tests.tokenizer.support import assert_equal, library, tensor, texts, traced

FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")


def token(content: str, token_id: int, **flags: bool) -> dict[str, Any]:
    return {"id": token_id, "content": content, **{flag: flags.get(flag, False) for flag in FLAGS}}


def tokenizer_json(tokens: list[dict[str, Any]], **sections: Any) -> dict[str, Any]:
    """A model of single characters, so that ids show where the text was cut."""
    letters = {character: index for index, character in enumerate("abcxy<>|[] \n\t\u2581.,")}
    model = {"type": "BPE", "vocab": {**letters, "?": len(letters)}, "merges": [], "unk_token": "?"}
    return {"version": "1.0", "added_tokens": tokens, "model": model, **sections}


def compiled(file: dict[str, Any], directory: Path, **options: bool) -> Any:
    path = directory / "tokenizer.json"
    path.write_text(json.dumps(file))
    return traced(build_tokenizer(path, **options).encode)


def assert_encodes(function: Any, file: dict[str, Any], strings: list[str], in_text: bool = True) -> None:
    reference = library(**file)
    reference.encode_special_tokens = not in_text
    assert_equal(strings, function(tensor(strings)).to_list(), lambda text: reference.encode(text).ids)


ALPHABET = st.sampled_from(
    ["<a>", "<b>", "a", "b", "<", ">", " ", "  ", "\n", "\u3000", "x", "A", ".", "\u0301", "é"]
)
STRINGS = st.lists(st.lists(ALPHABET, max_size=8).map("".join), min_size=1, max_size=30)


@pytest.mark.parametrize("flags", list(itertools.product((False, True), repeat=4)), ids=str)
def test_every_combination_of_flags(flags: tuple[bool, ...], tmp_path: Path) -> None:
    single_word, lstrip, rstrip, normalized = flags
    options = {"single_word": single_word, "lstrip": lstrip, "rstrip": rstrip, "normalized": normalized}
    file = tokenizer_json(
        [token("<a>", 20, **options), token("<b>", 21), token("xx", 22, **options), token("<a><b>", 23)],
        normalizer={"type": "Lowercase"},
    )
    function = compiled(file, tmp_path)

    @settings(max_examples=40, deadline=None)
    @given(STRINGS)
    def check(strings: list[str]) -> None:
        assert_encodes(function, file, strings)

    check()


@pytest.mark.parametrize("in_text", [True, False])
def test_special_tokens_as_plain_text(in_text: bool, tmp_path: Path) -> None:
    tokens = [
        token("<a>", 20, special=True),
        token("a>", 21),
        token("<b>", 22, special=True, normalized=True),
    ]
    tokens.append(token("b", 23, normalized=True, single_word=True))
    file = tokenizer_json(tokens)
    function = compiled(file, tmp_path, special_tokens_in_text=in_text)

    @settings(max_examples=60, deadline=None)
    @given(STRINGS)
    def check(strings: list[str]) -> None:
        assert_encodes(function, file, strings, in_text)

    check()
    assert (len(function(tensor(["<a>"])).to_list()[0]) == 1) == in_text


def test_the_longest_token_at_the_leftmost_place_wins(tmp_path: Path) -> None:
    contents = ["<", "<a", "<a>", "a>b", " ", "   ", "\n", "xx\ty", "é", "\u0301\u0301"]
    file = tokenizer_json([token(content, 20 + i) for i, content in enumerate(contents)])
    assert_encodes(compiled(file, tmp_path), file, texts(False, tokens=contents))


def test_tokens_of_white_space_beside_stripping_ones(tmp_path: Path) -> None:
    tokens = [token("<a>", 20, lstrip=True, rstrip=True), token("  ", 21), token("\n", 22, normalized=True)]
    file = tokenizer_json(tokens)
    strings = [
        "".join(text)
        for size in range(1, 6)
        for text in itertools.product(["<a>", " ", "\n", "x"], repeat=size)
    ]
    assert_encodes(compiled(file, tmp_path), file, strings)


def test_normalized_tokens_are_sought_in_normalized_text(tmp_path: Path) -> None:
    """The second pass looks for the normalized form, here with a prefix of its own."""
    normalizer = {
        "type": "Sequence",
        "normalizers": [
            {"type": "Prepend", "prepend": "\u2581"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"},
        ],
    }
    tokens = [token("<a>", 20, normalized=True), token("<b>", 21), token("x y", 22, normalized=True)]
    file = tokenizer_json(tokens, normalizer=normalizer)
    assert_encodes(compiled(file, tmp_path), file, texts(False, tokens=["<a>", "<b>", " <a>", "x y", " x y"]))


def test_metaspace_first_looks_at_the_offset(tmp_path: Path) -> None:
    metaspace = {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "first", "split": True}
    file = tokenizer_json([token("<a>", 20), token("b", 21, normalized=True)], pre_tokenizer=metaspace)
    assert_encodes(compiled(file, tmp_path), file, texts(False, tokens=["<a>", "b"]))
    file["normalizer"] = {"type": "Strip", "strip_left": True, "strip_right": True}
    with pytest.raises(TokenizerUnsupportedError, match="prepend_scheme 'first'"):
        compiled(file, tmp_path)


def test_no_added_tokens(tmp_path: Path) -> None:
    file = tokenizer_json([])
    assert_encodes(compiled(file, tmp_path), file, texts(False))


def test_token_codes_are_distinct_and_hold_no_character() -> None:
    codes = [pieces.token_code(token_id) for token_id in range(3000)]
    assert len(set(codes)) == len(codes)
    assert all(byte >= 0xF8 for code in codes for byte in code)
    assert not any(pieces.CUT in code for code in codes)
