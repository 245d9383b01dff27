"""SentencePiece character maps: the file format, grapheme clusters, and how the library applies them."""

from __future__ import annotations

import base64
import random
from typing import Any

import pytest
from tokenizers import normalizers as library

from exporter.tokenizer.charsmap import make_charsmap, parse_charsmap
from exporter.tokenizer.clusters import Class, cluster_classes
from exporter.tokenizer.codepoints import decode, encode
from exporter.tokenizer.precompiled import Precompiled
from tests.tokenizer.support import assert_equal, every_code_point, tensor, texts, traced

ENTRIES = {
    "e\u0301": "\u00e9",
    "\uff45": "e",
    "\r": " ",
    "\n": " ",
    "\x01": "",
    "\u00a9": "(c)",
    "o\u0302\u0301": "\u1ed1",
    "u\u0308": "\u00fc",
    "\u0915": "K",
    "\u1100": "G",
    "\u2122": "TM",
    "\u0600": "#",
    "\u0e33": "\u0e4d\u0e32",
}


def charsmap(entries: dict[str, str]) -> str:
    blob = make_charsmap({key.encode(): value.encode() for key, value in entries.items()})
    return base64.b64encode(blob).decode()


def graph(encoded: str) -> Any:
    module = Precompiled(encoded)
    return traced(lambda texts: encode(module(decode(texts))))


def assert_maps(function: Any, encoded: str, strings: list[str]) -> None:
    reference = library.Precompiled(base64.b64decode(encoded))
    assert_equal(
        strings, [text.decode() for text in function(tensor(strings)).numpy()], reference.normalize_str
    )


def test_a_map_is_read_as_it_was_made() -> None:
    assert parse_charsmap(charsmap(ENTRIES), longest=8) == ENTRIES
    assert "o\u0302\u0301" not in parse_charsmap(charsmap(ENTRIES), longest=4)


def test_the_worked_example_of_the_module() -> None:
    function = graph(charsmap({"e\u0301": "\u00e9", "\uff45": "e"}))
    asked = ["e\u0301x", "\uff45\u0301", "\uff45\u0301\u0301"]
    assert [text.decode() for text in function(tensor(asked)).numpy()] == ["\u00e9x", "e", "e\u0301\u0301"]


def test_generated_strings_and_every_code_point(full: bool) -> None:
    encoded = charsmap(ENTRIES)
    function = graph(encoded)
    assert_maps(function, encoded, texts(full))
    for batch in every_code_point(full):
        assert_maps(function, encoded, batch)


def test_clusters_of_every_rule(full: bool) -> None:
    """Random sequences of the characters that the boundary rules are about."""
    encoded = charsmap(ENTRIES)
    function = graph(encoded)
    alphabet = (
        "eou\uff45\u00a9\u2122\u203c\U0001f600\U0001f468\u200d\u200d\u0301\u0301\u0302\u0308\u0915\u0915\u094d\u094d"
        "\u093c\u1100\u1161\u11a8\uac00\uac01\u0600\u06dd\U000110bd\u0e33\u0903\r\n\x01\u200b\U0001f1eb\U0001f1f7\ufe0f"
    )
    rng = random.Random(0)
    strings = ["".join(rng.choices(alphabet, k=rng.randint(1, 9))) for _ in range(60_000 if full else 10_000)]
    assert_maps(function, encoded, strings)


@pytest.mark.parametrize(
    ("flag", "members"),
    [
        (Class.CONTROL, "\x00\n\r\u200b\u2028"),
        (Class.ATTACHES, "\u0301\u200d\u0903\ufe0f\U0001f3fb"),
        (Class.PREPENDS, "\u0600\u0d4e"),
        (Class.BEFORE_VOWEL, "\u1100\u1161\uac00"),
        (Class.TAIL, "\u11a8"),
        (Class.PICTURE, "\u00a9\u2122\U0001f600"),
    ],
)
def test_well_known_classes(flag: Class, members: str) -> None:
    flags = cluster_classes()
    assert all(flags[ord(member)] & flag for member in members)
    assert not flags[ord("x")] & flag
