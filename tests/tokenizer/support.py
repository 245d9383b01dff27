"""Texts and comparisons for the tests of normalizers, pre-tokenizers and whole tokenizers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf
import tokenizers

from exporter.tokenizer import chars, tables
from exporter.tokenizer.samples import sample_strings
from tests.tokenizer.graphs import assert_on_cpu

STRINGS = [tf.TensorSpec([None], tf.string, name="text")]


def tensor(texts: Sequence[str]) -> tf.Tensor:
    """string [texts]; without the dtype, trailing NULs would be lost."""
    return tf.constant([text.encode() for text in texts], tf.string, shape=[len(texts)])


def traced(function: Callable[..., Any]) -> Any:
    """A function of strings, traced once under the scope that ``TokenizerGraph`` sets.

    Every op, also those of branches and loops, must then be pinned to the CPU.
    """

    def on_cpu(texts: tf.Tensor) -> Any:
        with tables.cpu():
            return function(texts)

    concrete = tf.function(on_cpu, STRINGS, autograph=False).get_concrete_function()
    assert_on_cpu(concrete)
    return concrete


def library(**sections: Any) -> tokenizers.Tokenizer:
    """The library's tokenizer of some sections of a tokenizer.json."""
    file = {"version": "1.0", "added_tokens": [], "model": {"type": "BPE", "vocab": {}, "merges": []}}
    return tokenizers.Tokenizer.from_str(json.dumps({**file, **sections}))


def texts(full: bool, seed: int = 0, tokens: Sequence[str] = ()) -> list[str]:
    """The edge cases and generated strings of a tier."""
    edges = [
        "",
        " ",
        "  ",
        "\n",
        "\x00",
        "a\x00",
        "\ufeff",
        "a",
        " a",
        "a ",
        "\u0301",
        "e\u0301",
        "\r\n",
        "\u2581",
    ]
    return [*edges, *sample_strings(20_000 if full else 2_000, seed, tokens)]


def corpus_lines(test_data: Path, full: bool) -> list[str]:
    """Every line in the full run, every 60th in the quick tier, and some longer texts."""
    lines: list[str] = []
    for path in sorted((test_data / "corpora").glob("*.txt")):
        text = path.read_text(encoding="utf-8")
        lines += text.split("\n")[:: 1 if full else 60]
        lines += [text[start : start + 2000] for start in range(0, len(text), 40_000 if full else 400_000)]
    return lines


def every_code_point(full: bool, one_in: int = 1) -> Iterator[list[str]]:
    """Batches of texts that hold every code point, alone and between two letters.

    In the full run each is a text of its own. In the quick tier 512 share one, which costs little; where it
    costs more, only every ``one_in``-th of these texts is there; and of the planes without characters (4 to
    13, and 15 and 16 for private use), which are alike, only every 64th code point is.
    """
    points = chars.all_characters()
    if not full:
        points = "".join(c for c in points if ord(c) >> 16 in (*range(4), 14) or ord(c) % 64 == 63)
    for text in ("{0}", "a{0}b") if full else ("a{0}b {0}\n",):
        each = [text.format(character) for character in points]
        if not full:
            each = ["".join(each[start : start + 512]) for start in range(0, len(each), 512 * one_in)]
        batch = 20_000 if full else 200  # long texts: all of them at once take much memory
        for start in range(0, len(each), batch):
            yield each[start : start + batch]


def assert_equal(texts: Sequence[Any], ours: Sequence[Any], reference: Callable[[Any], Any]) -> None:
    """Shows the first difference in escapes, and how many there are."""
    wrong = [
        (text, got, want) for text, got in zip(texts, ours, strict=True) if got != (want := reference(text))
    ]
    assert not wrong, f"{len(wrong)} of {len(texts)} differ, first: {wrong[0]!a}"[:2000]
