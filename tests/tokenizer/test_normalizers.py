"""Normalizers against the library: generated strings, every code point, hypothesis."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from tokenizers import normalizers as library

from exporter.errors import TokenizerUnsupportedError
from exporter.tokenizer import nodes
from exporter.tokenizer.normalizers import build_normalizer, library_normalizer
from tests.tokenizer.published import folder_of
from tests.tokenizer.support import assert_equal, every_code_point, tensor, texts, traced


def parse(node: dict[str, Any]) -> nodes.Normalizer:
    parsed: nodes.Normalizer = TypeAdapter(nodes.Normalizer).validate_python(node)
    return parsed


def sequence(*children: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Sequence", "normalizers": list(children)}


def replace(content: str, **pattern: str) -> dict[str, Any]:
    return {"type": "Replace", "pattern": pattern, "content": content}


BERT = {"type": "BertNormalizer"}
PLAIN_BERT = {"clean_text": False, "handle_chinese_chars": False}
NODES: dict[str, dict[str, Any]] = {
    **{name: {"type": name} for name in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Nmt")},
    "Bert": BERT,
    "Bert cased": {**BERT, "lowercase": False},
    "Bert without accents": {**BERT, **PLAIN_BERT, "lowercase": False, "strip_accents": True},
    "Bert with accents": {**BERT, "strip_accents": False},
    "Strip": {"type": "Strip"},
    "Strip right": {"type": "Strip", "strip_left": False},
    "Prepend": {"type": "Prepend", "prepend": "\u2581"},
    "Replace string": replace("\u2581", String=" "),
    "Replace by a backslash": replace("\\1\\", String="a"),
    "Replace by nothing": replace("", String="."),
    "Replace regex": replace(" ", Regex=r"\s+"),
    "Replace runs": replace("\u2581", Regex=" {2,}"),
    "Replace at the start": sequence(replace("\u2581", String=" "), replace("__", Regex=r"\A\u2581")),
    "ByteLevel": {"type": "ByteLevel"},
    "Sequence of maps": sequence({"type": "Nmt"}, {"type": "Lowercase"}, {"type": "StripAccents"}),
    "Sequence of all kinds": sequence(
        {"type": "NFKC"},
        replace(" ", Regex=r"\s+"),
        {"type": "Lowercase"},
        {"type": "ByteLevel"},
        {"type": "Strip"},
    ),
    "Composed again": sequence({"type": "NFD"}, {"type": "StripAccents"}, {"type": "NFC"}),
}


def graph(node: dict[str, Any]) -> Any:
    normalizer = build_normalizer(parse(node))
    assert normalizer is not None
    return traced(normalizer)


def assert_normalizes(function: Any, node: dict[str, Any], strings: list[str]) -> None:
    ours = [text.decode() for text in function(tensor(strings)).numpy()]
    assert_equal(strings, ours, library_normalizer(parse(node)).normalize_str)


@pytest.mark.parametrize("name", NODES)
def test_equals_the_library(name: str, full: bool) -> None:
    function = graph(NODES[name])
    assert_normalizes(function, NODES[name], texts(full))
    for batch in every_code_point(full):
        assert_normalizes(function, NODES[name], batch)


@pytest.mark.parametrize("form", ["NFC", "NFD", "NFKC", "NFKD"])
def test_marks_in_any_order_and_number(form: str) -> None:
    """Runs of marks of every class, Hangul, and characters that compose with what follows them."""
    node = {"type": form}
    function = graph(node)
    alphabet = (
        "aeo \u0300\u0301\u0308\u0323\u0327\u031b\u0345\u0334\u3099\u05b0\u05b1\u0f71\u0f72\u0f74\u302a"
    )
    alphabet += (
        "\u1100\u1161\u11a8\uac00\u0958\u0915\u093c\u09c7\u09be\u0dd9\u0dcf\u0dca\u1e0b\u1ed9\u1026\u2126ﬁ"
    )

    @settings(max_examples=150, deadline=None)
    @given(st.lists(st.text(alphabet, max_size=25), min_size=1, max_size=20))
    def check(strings: list[str]) -> None:
        assert_normalizes(function, node, strings)

    check()


def test_batched_equals_one_by_one() -> None:
    strings = texts(False)[:200]
    function = graph(NODES["NFKC"])
    alone = [function(tensor([text])).numpy()[0] for text in strings]
    assert function(tensor(strings)).numpy().tolist() == alone


def test_no_normalizer() -> None:
    assert build_normalizer(None) is None
    assert build_normalizer(parse(sequence())) is None


def test_an_empty_batch() -> None:
    for node in (NODES["NFC"], NODES["Bert"], NODES["ByteLevel"], NODES["Strip"]):
        assert graph(node)(tensor([])).numpy().tolist() == []


@pytest.mark.parametrize(
    ("node", "path"),
    [
        (sequence({"type": "NFC"}, replace("", Regex=r"a$")), "normalizer.normalizers[1]"),
        (replace("x", String=""), "normalizer"),
        (replace("x", Regex=r"a|\s+(?!\S)|\s+"), "normalizer"),
        ({"type": "Precompiled", "precompiled_charsmap": "AAAA"}, "normalizer"),
    ],
)
def test_what_cannot_be_exact_is_refused(node: dict[str, Any], path: str) -> None:
    with pytest.raises(TokenizerUnsupportedError) as caught:
        build_normalizer(parse(node))
    assert caught.value.path == path


def test_the_library_normalizer_of_a_node_is_its_own() -> None:
    assert library_normalizer(parse(BERT)).normalize_str("É") == library.BertNormalizer().normalize_str("É")


@pytest.mark.parametrize("folder", ["t5", "barthez", "clip", "bert-base-uncased"])
def test_published_normalizers(folder: str, test_data: Path, full: bool) -> None:
    file = nodes.read_tokenizer(folder_of(folder) / "tokenizer.json")
    assert file.normalizer
    node = file.normalizer.model_dump(by_alias=True, exclude_none=True)
    function = graph(node)
    assert_normalizes(function, node, texts(full, seed=1))
    for batch in every_code_point(full):
        assert_normalizes(function, node, batch)
