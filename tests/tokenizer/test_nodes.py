"""tokenizer.json files of every age, and what is refused."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from tokenizers import Tokenizer

from exporter.errors import CheckpointError, TokenizerUnsupportedError
from exporter.tokenizer import nodes
from exporter.tokenizer.charsmap import make_charsmap_text
from tests.tokenizer.support import library

BPE: dict[str, Any] = {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b"]]}

_BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
_META = {"type": "Metaspace", "replacement": "_", "prepend_scheme": "always", "split": True}
_REPLACE = {"type": "Replace", "pattern": {"Regex": "a+"}, "content": ""}
_PAIR = {"sep": ["b", 1], "cls": ["a", 0]}


def files_of_every_node() -> Iterator[dict[str, Any]]:
    """Files that hold every node type that the library knows, one model each."""
    plain = ("NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Nmt", "ByteLevel")
    splitters = ("Whitespace", "WhitespaceSplit", "BertPreTokenizer", "UnicodeScripts")
    words = {"vocab": {"a": 0, "b": 1}, "unk_token": "a"}
    template = {"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A", "type_id": 0}}],
                "pair": [{"Sequence": {"id": "B", "type_id": 1}}],
                "special_tokens": {"a": {"id": "a", "ids": [0], "tokens": ["a"]}}}  # fmt: skip
    sections = {
        "added_tokens": [
            {"id": 0, "content": "a", "single_word": False, "lstrip": False, "rstrip": False,
             "normalized": False, "special": True}
        ],
        "normalizer": {"type": "Sequence", "normalizers": [
            *({"type": name} for name in plain),
            {"type": "Strip", "strip_left": True, "strip_right": True},
            {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True,
             "strip_accents": None, "lowercase": True},
            {"type": "Prepend", "prepend": "_"},
            _REPLACE,
            {"type": "Precompiled", "precompiled_charsmap": make_charsmap_text({b"\xef\xbc\xa1": b"A"})},
        ]},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            *({"type": name} for name in splitters),
            _BYTES, _META,
            {"type": "Split", "pattern": {"String": "a"}, "behavior": "Isolated", "invert": False},
            {"type": "Digits", "individual_digits": True},
            {"type": "Punctuation", "behavior": "Isolated"},
            {"type": "CharDelimiterSplit", "delimiter": "-"},
            {"type": "FixedLength", "length": 5},
        ]},
        "post_processor": {"type": "Sequence", "processors": [
            template, _BYTES, {"type": "BertProcessing", **_PAIR},
            {"type": "RobertaProcessing", **_PAIR, "trim_offsets": True, "add_prefix_space": True},
        ]},
        "decoder": {"type": "Sequence", "decoders": [
            _BYTES, _META, _REPLACE, {"type": "Fuse"}, {"type": "ByteFallback"},
            {"type": "WordPiece", "prefix": "##", "cleanup": True},
            {"type": "BPEDecoder", "suffix": "</w>"},
            {"type": "CTC", "pad_token": "<pad>", "word_delimiter_token": "|", "cleanup": True},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0},
        ]},
    }  # fmt: skip
    models: list[dict[str, Any]] = [
        BPE,
        {"type": "Unigram", "vocab": [["a", 0.0], ["b", -1.0]], "unk_id": 0},
        {"type": "WordLevel", **words},
        {"type": "WordPiece", **words, "continuing_subword_prefix": "##", "max_input_chars_per_word": 9},
    ]
    for model in models:
        yield {"version": "1.0", **(sections if model is BPE else {"added_tokens": []}), "model": model}


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
        ({"decoder": {"type": "Strip", "start": "many"}}, "decoder.start", "integer"),
        ({"model": {**BPE, "merges": [["a", "b", "c"]]}}, "model.merges[0]", "at most 2 items"),
        (
            {"normalizer": {"type": "Replace", "pattern": {}, "content": ""}},
            "normalizer.pattern",
            "String or a Regex",
        ),
        ({"post_processing": None}, "post_processing", "unknown field"),
        (
            {
                "pre_tokenizer": {
                    "type": "Split",
                    "pattern": {"String": "a", "flags": ""},
                    "behavior": "Removed",
                }
            },
            "pre_tokenizer.pattern.flags",
            "unknown field",
        ),
        (
            {"post_processor": {"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A"}, "x": 1}]}},
            "post_processor.single[0].x",
            "unknown field",
        ),
    ],
)
def test_what_is_unknown_is_refused_with_its_path(sections: dict[str, Any], path: str, message: str) -> None:
    with pytest.raises(TokenizerUnsupportedError, match=message) as caught:
        nodes.parse_tokenizer({"model": BPE, **sections})
    assert caught.value.path == path


def _nodes(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The place of every JSON object in a tokenizer.json."""
    if isinstance(data, dict):
        yield path
    for key, value in data.items() if isinstance(data, dict) else enumerate(data):
        if isinstance(value, dict | list) and key not in ("vocab", "merges"):
            yield from _nodes(value, (*path, key))


def test_fields_that_the_library_does_not_read_are_listed_and_others_refused() -> None:
    """A field more, in every object of a file with every node type: as the library takes it."""
    for whole in files_of_every_node():
        Tokenizer.from_str(json.dumps(whole))
        for path in _nodes(whole):
            data = json.loads(json.dumps(whole))
            place = functools.reduce(lambda inside, key: inside[key], path, data)
            place["is_not_read"] = [1]
            if path and path[-1] == "special_tokens":
                continue  # a table by token, not a node
            spelled = "".join("[]" if isinstance(key, int) else f".{key}" for key in path)
            spelled = spelled.replace(".special_tokens.a", ".special_tokens[]")
            try:
                Tokenizer.from_str(json.dumps(data))
            except Exception:
                with pytest.raises(TokenizerUnsupportedError):
                    nodes.parse_tokenizer(data)
            else:
                ignored = nodes.ignored_fields(nodes.parse_tokenizer(data))
                assert [f".{name}" for name in ignored] == [f"{spelled}.is_not_read"]


def test_a_field_that_is_not_read_changes_nothing() -> None:
    """The published Command R files: what a ByteLevel reads stands in a template."""
    template = {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "a", "type_id": 0}}],
                "pair": [], "special_tokens": {"a": {"id": "a", "ids": [0], "tokens": ["a"]}}}  # fmt: skip
    more = {**template, "add_prefix_space": True, "trim_offsets": False, "use_regex": True}
    plain, file = (nodes.parse_tokenizer({"model": BPE, "post_processor": node}) for node in (template, more))
    names = ("add_prefix_space", "trim_offsets", "use_regex")
    assert nodes.ignored_fields(file) == tuple(f"post_processor.{name}" for name in names)
    assert nodes.ignored_fields(plain) == ()


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


def test_every_shared_file_is_read(test_data: Path) -> None:
    files = sorted(test_data.glob("tokenizers/*/tokenizer.json"))
    assert [nodes.read_tokenizer(path).model.type for path in files].count("BPE") >= 10
