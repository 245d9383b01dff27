"""tokenizer.json files of every age, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from exporter.errors import CheckpointError, TokenizerUnsupportedError
from exporter.tokenizer import nodes
from tests.tokenizer.support import library

BPE: dict[str, Any] = {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b"]]}


def test_reads_what_the_library_writes() -> None:
    sections = {
        "normalizer": {
            "type": "Sequence",
            "normalizers": [{"type": "NFC"}, {"type": "Prepend", "prepend": "x"}],
        },
        "pre_tokenizer": {"type": "Metaspace", "replacement": "_", "prepend_scheme": "first", "split": False},
        "decoder": {"type": "Strip", "content": " ", "start": 1, "stop": 0},
        "post_processor": {"type": "BertProcessing", "sep": ["b", 1], "cls": ["a", 0]},
    }
    file = nodes.parse_tokenizer(json.loads(library(**sections, model=BPE).to_str()))
    assert isinstance(file.normalizer, nodes.NormalizerSequence)
    assert file.normalizer.normalizers[1] == nodes.Prepend(type="Prepend", prepend="x")
    assert file.pre_tokenizer == nodes.Metaspace(
        type="Metaspace", replacement="_", prepend_scheme="first", split=False
    )
    assert file.post_processor == nodes.BertProcessing(type="BertProcessing", sep=("b", 1), cls=("a", 0))
    assert isinstance(file.model, nodes.BPE)
    assert file.model.merges == (("a", "b"),)


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        ({"vocab": {"a": 0}, "merges": []}, nodes.BPE),
        (
            {
                "vocab": {"a": 0},
                "unk_token": "a",
                "continuing_subword_prefix": "##",
                "max_input_chars_per_word": 9,
            },
            nodes.WordPiece,
        ),
        ({"vocab": {"a": 0}, "unk_token": "a"}, nodes.WordLevel),
        ({"vocab": [["a", 0.0]], "unk_id": 0}, nodes.Unigram),
    ],
)
def test_a_model_without_type_is_told_by_its_fields(model: dict[str, Any], kind: type[nodes.Node]) -> None:
    assert isinstance(nodes.parse_tokenizer({"model": model}).model, kind)


def test_merges_as_strings_and_as_pairs_are_the_same() -> None:
    old = {**BPE, "merges": ["#version: 0.2", "a b"]}
    assert nodes.parse_tokenizer({"model": old}) == nodes.parse_tokenizer({"model": BPE})


@pytest.mark.parametrize(
    ("old", "scheme"), [({"add_prefix_space": True}, "always"), ({"add_prefix_space": False}, "never")]
)
def test_metaspace_of_older_files(old: dict[str, Any], scheme: str) -> None:
    node = {"type": "Metaspace", "replacement": "_", "str_rep": "_", **old}
    parsed = nodes.parse_tokenizer({"model": BPE, "pre_tokenizer": node}).pre_tokenizer
    assert isinstance(parsed, nodes.Metaspace)
    assert parsed.prepend_scheme == scheme


@pytest.mark.parametrize(
    ("sections", "path", "message"),
    [
        (
            {
                "pre_tokenizer": {
                    "type": "Sequence",
                    "pretokenizers": [{"type": "Whitespace"}, {"type": "Splitt"}],
                }
            },
            "pre_tokenizer.pretokenizers[1]",
            "did you mean 'Split'",
        ),
        ({"normalizer": {"type": "NFC", "mode": "x"}}, "normalizer.mode", "unknown field"),
        ({"decoder": {"type": "Strip", "start": "many"}}, "decoder.start", "integer"),
        ({"model": {**BPE, "merges": [["a", "b", "c"]]}}, "model.merges[0]", "at most 2 items"),
        (
            {"normalizer": {"type": "Replace", "pattern": {}, "content": ""}},
            "normalizer.pattern",
            "String or a Regex",
        ),
        ({"post_processing": None}, "post_processing", "unknown field"),
    ],
)
def test_what_is_unknown_is_refused_with_its_path(sections: dict[str, Any], path: str, message: str) -> None:
    with pytest.raises(TokenizerUnsupportedError, match=message) as caught:
        nodes.parse_tokenizer({"model": BPE, **sections})
    assert caught.value.path == path


def test_truncation_and_padding_are_set_aside() -> None:
    tokenizer = library(model=BPE)
    tokenizer.enable_truncation(3)
    tokenizer.enable_padding()
    file = nodes.parse_tokenizer(json.loads(tokenizer.to_str()))
    assert file.truncation["max_length"] == 3
    assert file.model == nodes.parse_tokenizer({"model": BPE}).model


def test_nodes_are_frozen() -> None:
    file = nodes.parse_tokenizer({"model": BPE})
    with pytest.raises(ValidationError, match="frozen"):
        file.version = "2"


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff"])
def test_an_unreadable_file(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="JSON"):
        nodes.read_tokenizer(path)


def test_every_shared_file_is_read(shared: Path) -> None:
    files = sorted(shared.glob("tokenizers/*/tokenizer.json"))
    assert [nodes.read_tokenizer(path).model.type for path in files].count("BPE") >= 10
