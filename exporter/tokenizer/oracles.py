"""Do the published files and AutoTokenizer of the installed transformers say the same of a text?

Version 5 of transformers rebuilds some classes and then no longer follows the published files. An export
compiles one of the two, and says where they differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from exporter.choices import TokenizerReference
from exporter.errors import GenserveError
from exporter.tokenizer.base import TokenizerGraph
from exporter.tokenizer.reference import Reference, attempt, reference_of
from exporter.tokenizer.samples import sample_strings
from exporter.tokenizer.sources import read_source, tokenizer_json


@dataclass(frozen=True)
class Example:
    """One text, and its ids by either reference (None where that fails on it)."""

    text: str
    files: list[int] | None
    transformers: list[int] | None


@dataclass(frozen=True)
class Comparison:
    """Both references on the same strings.

    Attributes:
      compiled: which of them the graph follows.
      version: of the installed transformers.
      strings: how many were compared.
      differing: on how many the ids differ.
      example: the shortest of them.
      unreadable: why the reference that is not compiled could not be asked.
    """

    compiled: TokenizerReference
    version: str
    strings: int = 0
    differing: int = 0
    example: Example | None = None
    unreadable: str | None = None

    def __str__(self) -> str:
        """One line."""
        files, auto = "the published files", f"AutoTokenizer of transformers {self.version}"
        compiled, other = (files, auto) if self.compiled == "files" else (auto, files)
        if self.unreadable is not None:
            return f"tokenizer: compiled: {compiled}; {other} could not be asked: {self.unreadable}"
        if self.example is None:
            return (
                f"tokenizer: {files} and {auto} agree on {self.strings} sample strings; compiled: {compiled}"
            )
        shown = self.example
        return (
            f"tokenizer: {files} and {auto} differ on {self.differing} of {self.strings} sample strings, as "
            f"{shown.text!a}: {shown.files} and {shown.transformers}; compiled: {compiled}"
        )


def tokenizer_notes(
    tokenizer: TokenizerGraph | None, others: Comparison | None, vocab_size: int
) -> tuple[str, ...]:
    """What a user should know of an export's tokenizer, a line each; ``vocab_size`` is the model's."""
    notes = []
    if others is not None and (others.example is not None or others.unreadable is not None):
        notes.append(str(others))
    if tokenizer is not None and tokenizer.ignored_fields:
        names = ", ".join(tokenizer.ignored_fields)
        notes.append(f"tokenizer.json: ignored, as the tokenizers library does: {names}")
    if tokenizer is not None and tokenizer.vocab_size > vocab_size:
        notes.append(
            f"the tokenizer has ids up to {tokenizer.vocab_size - 1}, the model rows up to {vocab_size - 1}: "
            "a text with a token beyond them is answered with an error"
        )
    return tuple(notes)


def compare_origins(
    source: Path,
    compiled: TokenizerReference = "files",
    strings: Sequence[str] = (),
    *,
    count: int = 200,
    seed: int = 0,
    special_tokens_in_text: bool = True,
) -> Comparison | None:
    """Asks both references; None where there is no tokenizer.json, which leaves transformers alone.

    Raises:
      CheckpointError, TokenizerUnsupportedError: as ``read_source``, for the reference that is compiled.
    """
    if tokenizer_json(source) is None:
        return None
    import transformers

    version = transformers.__version__
    other: TokenizerReference = "transformers" if compiled == "files" else "files"
    first = reference_of(read_source(source, compiled), special_tokens_in_text)
    try:
        found = read_source(source, other)
    except GenserveError as error:
        return Comparison(compiled, version, unreadable=str(error).splitlines()[0])
    second = reference_of(found, special_tokens_in_text)
    files, auto = (first, second) if compiled == "files" else (second, first)
    tokens = tuple(dict.fromkeys([*files.tokens, *auto.tokens]))
    texts = [*strings, *sample_strings(count, seed, tokens)]
    return _compared(Comparison(compiled, version, len(texts)), files, auto, texts)


def answer(reference: Reference, text: str) -> list[int] | None:
    """Its ids; None where it fails, be it that a rebuilt class lacks a token that it needs."""
    try:
        return attempt(reference, text)
    except Exception:
        return None


def _compared(found: Comparison, files: Reference, auto: Reference, texts: Sequence[str]) -> Comparison:
    pairs = [Example(text, answer(files, text), answer(auto, text)) for text in texts]
    differing = [pair for pair in pairs if pair.files != pair.transformers]
    example = min(differing, key=lambda pair: (len(pair.text), pair.text), default=None)
    return Comparison(found.compiled, found.version, found.strings, len(differing), example)
