"""Pre-tokenizers against the library: generated strings, every code point, sequences."""

from __future__ import annotations

from typing import Any

import pytest
import tensorflow as tf
from pydantic import TypeAdapter

from exporter.errors import TokenizerUnsupportedError
from exporter.tokenizer import nodes, pieces
from exporter.tokenizer.pre_tokenizers import PreTokenizer, build_pre_tokenizer
from tests.tokenizer.support import assert_equal, every_code_point, library, tensor, texts, traced
from tests.tokenizer.test_regex import PATTERNS

BEHAVIORS = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]


def split(behavior: str, invert: bool = False, **pattern: str) -> dict[str, Any]:
    return {"type": "Split", "pattern": pattern, "behavior": behavior, "invert": invert}


def byte_level(add_prefix_space: bool = False, use_regex: bool = True) -> dict[str, Any]:
    options = {"add_prefix_space": add_prefix_space, "trim_offsets": True, "use_regex": use_regex}
    return {"type": "ByteLevel", **options}


def metaspace(scheme: str = "always", split: bool = True, replacement: str = "\u2581") -> dict[str, Any]:
    return {"type": "Metaspace", "replacement": replacement, "prepend_scheme": scheme, "split": split}


def digits(individual: bool) -> dict[str, Any]:
    return {"type": "Digits", "individual_digits": individual}


def sequence(*children: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Sequence", "pretokenizers": list(children)}


PUNCTUATION = {"type": "Punctuation", "behavior": "Contiguous"}
NODES: dict[str, dict[str, Any]] = {
    "ByteLevel": byte_level(),
    "ByteLevel with prefix": byte_level(add_prefix_space=True),
    "ByteLevel without regex": byte_level(use_regex=False),
    **{f"Punctuation {behavior}": {**PUNCTUATION, "behavior": behavior} for behavior in BEHAVIORS},
    **{
        f"Metaspace {s} {cut}": metaspace(s, cut)
        for s in ("first", "never", "always")
        for cut in (True, False)
    },
    "Metaspace with another character": metaspace(replacement="\\"),
    **{
        name: {"type": name}
        for name in ("Whitespace", "WhitespaceSplit", "BertPreTokenizer", "UnicodeScripts")
    },
    "Digits": digits(True),
    "Digits contiguous": digits(False),
    "CharDelimiterSplit": {"type": "CharDelimiterSplit", "delimiter": "."},
    "FixedLength": {"type": "FixedLength", "length": 3},
    "T5": sequence({"type": "WhitespaceSplit"}, metaspace()),
    "Falcon": sequence(
        PUNCTUATION,
        byte_level(),
        digits(False),
        split("Isolated", Regex="[0-9][0-9][0-9]"),
        {"type": "Whitespace"},
    ),
    "StarCoder": sequence(digits(True), byte_level(add_prefix_space=True)),
    "DeepSeek": sequence(
        split("Isolated", Regex=r"\p{N}{1,3}"),
        split("Isolated", Regex="[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"),
        split("Isolated", Regex=PATTERNS["cl100k"]),
        byte_level(use_regex=False),
    ),
    "Gemma": split("MergedWithPrevious", String=" "),
    "Nested": sequence(
        {"type": "UnicodeScripts"}, sequence(digits(False), {"type": "FixedLength", "length": 2})
    ),
    **{f"Split {name}": split("Isolated", Regex=PATTERNS[name]) for name in ("qwen2", "o200k", "bloom")},
    "CLIP": sequence(split("Removed", True, Regex=PATTERNS["clip"]), byte_level()),
}
FEW = {
    f"Split {behavior}{' inverted' * invert} {'|'.join(pattern)}": split(behavior, invert, **pattern)
    for behavior in BEHAVIORS
    for invert in (False, True)
    for pattern in ({"String": " "}, {"Regex": r"\p{N}{1,3}|[ab]+?c|'s"})
}


def parse(node: dict[str, Any]) -> nodes.PreTokenizer:
    parsed: nodes.PreTokenizer = TypeAdapter(nodes.PreTokenizer).validate_python(node)
    return parsed


def graph(module: PreTokenizer) -> Any:
    return traced(lambda texts: tuple(pieces.split_at_cuts(module(pieces.from_rows(texts)))))


def assert_splits(function: Any, node: dict[str, Any], strings: list[str], as_bytes: bool) -> None:
    found, splits = function(tensor(strings))
    rows = tf.RaggedTensor.from_row_splits(found, splits).to_list()
    letters = _stand_ins()
    ours = [
        [
            "".join(letters[byte] for byte in piece) if as_bytes else piece.decode("utf-8", "replace")
            for piece in row
        ]
        for row in rows
    ]
    reference = library(pre_tokenizer=node).pre_tokenizer.pre_tokenize_str
    assert_equal(strings, ours, lambda text: [piece for piece, _ in reference(text)])


def _stand_ins() -> list[str]:
    """GPT-2's character for every byte."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = iter(range(0x100, 0x200))
    return [chr(byte) if byte in printable else chr(next(others)) for byte in range(256)]


@pytest.mark.parametrize("name", NODES)
def test_equals_the_library(name: str, full: bool) -> None:
    module = build_pre_tokenizer(parse(NODES[name]))
    function = graph(module)
    assert_splits(function, NODES[name], texts(full), module.byte_level)
    for batch in every_code_point(full):
        assert_splits(function, NODES[name], batch, module.byte_level)


@pytest.mark.parametrize("name", FEW)
def test_behaviors_of_split(name: str, full: bool) -> None:
    module = build_pre_tokenizer(parse(FEW[name]))
    assert_splits(graph(module), FEW[name], texts(full), module.byte_level)


def test_none_keeps_the_text() -> None:
    function = graph(build_pre_tokenizer(None))
    found, splits = function(tensor(["a b", "", "c"]))
    assert (found.numpy().tolist(), splits.numpy().tolist()) == ([b"a b", b"c"], [0, 1, 1, 2])


@pytest.mark.parametrize(
    ("node", "path"),
    [
        (sequence(digits(True), split("Isolated", Regex="a$")), "pre_tokenizer.pretokenizers[1]"),
        (
            sequence(sequence(digits(True), metaspace("first"))),
            "pre_tokenizer.pretokenizers[0].pretokenizers[1]",
        ),
        (split("Contiguous", Regex=PATTERNS["gpt2"]), "pre_tokenizer"),
        (split("Isolated", String=""), "pre_tokenizer"),
    ],
)
def test_what_cannot_be_exact_is_refused(node: dict[str, Any], path: str) -> None:
    with pytest.raises(TokenizerUnsupportedError) as caught:
        build_pre_tokenizer(parse(node))
    assert caught.value.path == path
