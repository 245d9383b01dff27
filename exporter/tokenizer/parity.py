"""Is the graph the tokenizer? Both on the same strings, encode and decode, with readable differences."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf

from exporter.choices import TokenizerReference
from exporter.errors import VerificationError
from exporter.tokenizer.base import TokenizerGraph
from exporter.tokenizer.graph import build_tokenizer
from exporter.tokenizer.reference import Reference, attempt, reference_of
from exporter.tokenizer.samples import sample_strings
from exporter.tokenizer.sources import read_source

_BATCH = 256
_SHOWN = 5


@dataclass(frozen=True)
class Mismatch:
    """One difference: what was asked, our answer, and the reference's."""

    action: str  # "encode" or "decode"
    asked: str | list[int]
    ours: str | list[int]
    reference: str | list[int]

    def __str__(self) -> str:
        return (
            f"{self.action} {self.asked!a}\n    graph:     {self.ours!a}\n    reference: {self.reference!a}"
        )


@dataclass(frozen=True)
class TokenizerReport:
    """What ``verify_tokenizer`` found.

    Attributes:
      kind: the pipeline in words.
      strings: how many strings were encoded, and their ids decoded.
      refused: strings on which the reference itself failed (its regular expressions have limits).
      mismatches: how many answers differ; ``first`` holds the first of them.
      kilobytes: of the strings, UTF-8.
      seconds, reference_seconds: of encoding them, in batches.
    """

    kind: str
    strings: int
    refused: int
    mismatches: int
    first: tuple[Mismatch, ...]
    kilobytes: float
    seconds: float
    reference_seconds: float

    def __str__(self) -> str:
        speed, reference = (
            1000 * s / max(self.kilobytes, 1e-9) for s in (self.seconds, self.reference_seconds)
        )
        lines = [
            f"{self.kind}: {self.strings} strings ({self.kilobytes:.0f} KB) checked, "
            f"{self.mismatches} mismatches",
            f"encode: {speed:.2f} ms per KB in the graph, {reference:.2f} in the reference",
        ]
        if self.refused:
            lines.append(f"{self.refused} strings left out: the reference fails on them")
        return "\n".join([*lines, *map(str, self.first)])

    def check(self) -> TokenizerReport:
        """Returns itself; raises VerificationError if there is any mismatch."""
        if self.mismatches:
            raise VerificationError(f"the tokenizer graph differs from the reference tokenizer\n{self}")
        return self


def verify_tokenizer(
    source: str | Path,
    strings: Sequence[str] = (),
    *,
    count: int = 2000,
    seed: int = 0,
    origin: TokenizerReference = "files",
    tokenizer: TokenizerGraph | None = None,
    special_tokens_in_text: bool = True,
) -> TokenizerReport:
    """Compares the graph of a tokenizer with its reference.

    Args:
      source: checkpoint directory or tokenizer.json.
      strings: texts to check, before ``count`` generated ones.
      count: how many strings to generate (``samples.sample_strings``).
      seed: of the generator.
      origin: which reference, see ``sources.read_source``.
      tokenizer: the compiled tokenizer; None compiles it here.
      special_tokens_in_text: as it was compiled.

    Raises:
      CheckpointError, TokenizerUnsupportedError: as ``build_tokenizer``.
    """
    tokenizer = tokenizer or build_tokenizer(
        source, origin=origin, special_tokens_in_text=special_tokens_in_text
    )
    reference = reference_of(read_source(Path(source), origin), special_tokens_in_text)
    texts = [*strings, *sample_strings(count, seed, reference.tokens)]
    return compare(tokenizer, reference, texts, seed)


def compare(
    tokenizer: TokenizerGraph, reference: Reference, texts: Sequence[str], seed: int = 0
) -> TokenizerReport:
    """Encodes every text, and decodes its ids and as many drawn at random, with both."""
    encode, decode = _functions(tokenizer)
    encode(_strings(["warm up"]))
    random_ = random.Random(seed)
    found: list[Mismatch] = []
    refused, seconds, reference_seconds = 0, 0.0, 0.0
    for start in range(0, len(texts), _BATCH):
        part = texts[start : start + _BATCH]
        wanted, spent = _timed(lambda part: [attempt(reference, text) for text in part], part)
        reference_seconds += spent
        pairs = [(text, ids) for text, ids in zip(part, wanted, strict=True) if ids is not None]
        refused += len(part) - len(pairs)
        ours, spent = _timed(lambda part: encode(part).to_list(), _strings([text for text, _ in pairs]))
        seconds += spent
        found += [Mismatch("encode", *case) for case in _differences(pairs, ours)]
        rows = [ids for _, ids in pairs]
        rows += [[random_.randrange(tokenizer.vocab_size) for _ in ids] for ids in rows]
        texts_back = [row.decode("utf-8", "backslashreplace") for row in decode(*_padded(rows)).numpy()]
        answers = [(row, reference.decode(row)) for row in rows]
        found += [Mismatch("decode", *case) for case in _differences(answers, texts_back)]
    kilobytes = sum(len(text.encode()) for text in texts) / 1024
    return TokenizerReport(
        kind=tokenizer.kind,
        strings=len(texts),
        refused=refused,
        mismatches=len(found),
        first=tuple(found[:_SHOWN]),
        kilobytes=kilobytes,
        seconds=seconds,
        reference_seconds=reference_seconds,
    )


def _differences(answers: Sequence[tuple[Any, Any]], ours: Sequence[Any]) -> list[tuple[Any, Any, Any]]:
    """(asked, our answer, the reference's) where the two answers differ."""
    return [(asked, got, want) for (asked, want), got in zip(answers, ours, strict=True) if got != want]


def _functions(tokenizer: TokenizerGraph) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Traced encode and decode."""
    encode = tf.function(tokenizer.encode, [tf.TensorSpec([None], tf.string)], autograph=False)
    rows = [tf.TensorSpec([None, None], tf.int32), tf.TensorSpec([None], tf.int32)]
    return encode, tf.function(tokenizer.decode, rows, autograph=False)


def _timed(function: Callable[[Any], Any], argument: Any) -> tuple[Any, float]:
    start = time.perf_counter()
    return function(argument), time.perf_counter() - start


def _strings(texts: Sequence[str]) -> tf.Tensor:
    """string [texts]; a dtype must be given, or trailing NULs are lost."""
    return tf.constant([text.encode() for text in texts], tf.string, shape=[len(texts)])


def _padded(rows: Sequence[Sequence[int]]) -> tuple[tf.Tensor, tf.Tensor]:
    """int32 [rows, longest] and int32 [rows]."""
    width = max([1, *map(len, rows)])
    padded = [[*row, *[0] * (width - len(row))] for row in rows]
    lengths = tf.constant([len(row) for row in rows], tf.int32, shape=[len(rows)])
    return tf.constant(padded, tf.int32, shape=[len(rows), width]), lengths
