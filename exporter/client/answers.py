"""What clients answer: frozen, typed, one item per row; and reading them from a signature's outputs.

Outputs come as columns: name -> array with rows in dimension 0. Strings are ``bytes`` there, and text here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from exporter.errors import ServingError

Columns = Mapping[str, Any]


@dataclass(frozen=True)
class Completion:
    """One prompt's answer; the tuples have one entry per exported sequence.

    Attributes:
      prompt: as it was sent; it is part of ``texts`` only where the version was exported with ``--echo``.
      texts: the generated texts.
      num_tokens: how many tokens each has, an end-of-sequence token included.
      finish_reasons: "stop", "length" or "error".
      error: why the row was refused; "" for a good one.
      extra: the further outputs of the row, such as "score" or "logprobs", by name.
    """

    prompt: str
    texts: tuple[str, ...]
    num_tokens: tuple[int, ...]
    finish_reasons: tuple[str, ...]
    error: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The first (for most exports the only) text."""
        return self.texts[0]


@dataclass(frozen=True)
class Score:
    """Log-likelihood (natural logarithm) of a continuation's tokens after its prompt, summed.

    ``greedy`` tells whether greedy search would have written the same tokens.
    """

    score: float
    num_tokens: int
    greedy: bool
    error: str = ""


@dataclass(frozen=True)
class Encoding:
    """The token ids of one text, without padding."""

    ids: tuple[int, ...]
    error: str = ""


@dataclass(frozen=True)
class TokenCompletion:
    """What was generated for one row of ids; of an answer in pieces, the piece.

    Attributes:
      ids: without padding.
      text: what they add to the text; "" of a version without a tokenizer.
      finish_reason: "stop", "length" or "error"; "" where an answer in pieces goes on.
      error: why the row was refused; "" for a good one.
      extra: the further outputs of the row, by name.
    """

    ids: tuple[int, ...]
    text: str
    finish_reason: str
    error: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Decoding:
    """The text of one row of token ids."""

    text: str
    error: str = ""


@dataclass(frozen=True)
class NextToken:
    """A candidate: its id, what it adds to the text, and its probability between 0 and 1."""

    id: int
    text: str
    probability: float


@dataclass(frozen=True)
class NextTokens:
    """The most probable next tokens of one prompt, best first; none where the row was refused."""

    tokens: tuple[NextToken, ...]
    error: str = ""


@dataclass(frozen=True)
class TensorInfo:
    """A signature's input or output.

    ``dtype`` is TensorFlow Serving's name ("string", "int32", "float", ...), "invalid" for what is no tensor;
    in ``shape``, None is an open size, and a shape of None any rank.
    """

    dtype: str
    shape: tuple[int | None, ...] | None


@dataclass(frozen=True)
class SignatureInfo:
    """A signature's inputs and outputs by name."""

    inputs: Mapping[str, TensorInfo]
    outputs: Mapping[str, TensorInfo]


@dataclass(frozen=True)
class VersionStatus:
    """A version of a model on the server.

    ``state`` is START, LOADING, AVAILABLE, UNLOADING or END; ``error_code`` OK unless it failed.
    """

    version: int
    state: str
    error_code: str = "OK"
    error_message: str = ""


def as_text(value: Any) -> str:
    """A string tensor's element; bytes that are not UTF-8 become replacement characters."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def completions(prompts: Sequence[str], outputs: Columns, signature: str) -> list[Completion]:
    """Reads the outputs of a signature that generates text."""
    columns = _rows(outputs, len(prompts), signature, needed=("generated_text",))
    names = ("generated_text", "num_tokens", "finish_reason", "error")
    extra = [name for name in outputs if name not in names]
    return [
        Completion(
            prompt,
            tuple(as_text(text) for text in _sequences(columns["generated_text"][row])),
            tuple(int(count) for count in _sequences(_at(columns, "num_tokens", row, ()))),
            tuple(as_text(reason) for reason in _sequences(_at(columns, "finish_reason", row, ()))),
            _error(columns, row),
            {name: _plain(columns[name][row]) for name in extra},
        )
        for row, prompt in enumerate(prompts)
    ]


def scores(count: int, outputs: Columns, signature: str) -> list[Score]:
    """Reads the outputs of ``score``."""
    columns = _rows(outputs, count, signature, needed=("score", "num_tokens", "greedy"))
    return [
        Score(
            float(columns["score"][row]),
            int(columns["num_tokens"][row]),
            bool(columns["greedy"][row]),
            _error(columns, row),
        )
        for row in range(count)
    ]


def encodings(count: int, outputs: Columns, signature: str) -> list[Encoding]:
    """Reads the outputs of ``encode``; the padding goes."""
    columns = _rows(outputs, count, signature, needed=("input_ids", "num_tokens"))
    return [
        Encoding(
            tuple(int(token) for token in columns["input_ids"][row][: int(columns["num_tokens"][row])]),
            _error(columns, row),
        )
        for row in range(count)
    ]


def token_completions(count: int, outputs: Columns, signature: str) -> list[TokenCompletion]:
    """Reads the outputs of ``generate_tokens`` and ``resume``."""
    names = ("generated_ids", "num_tokens", "finish_reason")
    columns = _rows(outputs, count, signature, needed=names)
    extra = [name for name in outputs if name not in (*names, "generated_text", "error")]
    return [
        TokenCompletion(
            tuple(int(token) for token in columns["generated_ids"][row][: int(columns["num_tokens"][row])]),
            next((as_text(text) for text in _sequences(_at(columns, "generated_text", row, ()))), ""),
            as_text(columns["finish_reason"][row]),
            _error(columns, row),
            {name: _plain(columns[name][row]) for name in extra},
        )
        for row in range(count)
    ]


def decodings(count: int, outputs: Columns, signature: str) -> list[Decoding]:
    """Reads the outputs of ``decode``."""
    columns = _rows(outputs, count, signature, needed=("text",))
    return [Decoding(as_text(columns["text"][row]), _error(columns, row)) for row in range(count)]


def next_tokens(count: int, outputs: Columns, signature: str) -> list[NextTokens]:
    """Reads the outputs of ``next_token``."""
    columns = _rows(outputs, count, signature, needed=("tokens", "token_texts", "probabilities"))
    answers = []
    for row in range(count):
        error = _error(columns, row)
        fields = (columns[name][row] for name in ("tokens", "token_texts", "probabilities"))
        tokens = [NextToken(int(a), as_text(b), float(c)) for a, b, c in zip(*fields, strict=True)]
        answers.append(NextTokens(() if error else tuple(tokens), error))
    return answers


def _rows(outputs: Columns, count: int, signature: str, *, needed: Sequence[str]) -> dict[str, Any]:
    """The columns, each checked to have ``count`` rows.

    Raises:
      ServingError: an output is missing, or has another number of rows: not a signature of that kind.
    """
    if missing := [name for name in needed if name not in outputs]:
        answered = ", ".join(sorted(outputs)) or "nothing"
        raise ServingError(f"signature {signature!r} answers {answered}, not {', '.join(missing)}")
    columns = {name: np.asarray(value) for name, value in outputs.items()}
    for name, column in columns.items():
        if column.shape[:1] != (count,):
            raise ServingError(
                f"signature {signature!r}: output {name!r} has shape {list(column.shape)} for {count} rows"
            )
    return columns


def _at(columns: Mapping[str, Any], name: str, row: int, default: Any) -> Any:
    return columns[name][row] if name in columns else default


def _sequences(value: Any) -> list[Any]:
    """One row's entries of ``[batch]`` or ``[batch, n]``."""
    return list(np.atleast_1d(np.asarray(value, dtype=object)))


def _error(columns: Mapping[str, Any], row: int) -> str:
    return next((as_text(error) for error in _sequences(_at(columns, "error", row, ()))), "")


def _plain(value: Any) -> Any:
    """An array or element as Python's own lists, numbers and text."""
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    return [_plain(item) for item in value] if isinstance(value, list) else _text_or(value)


def _text_or(value: Any) -> Any:
    return as_text(value) if isinstance(value, bytes) else value
