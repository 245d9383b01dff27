"""Calls whose rows are ids or segments: what a client sends that renders chat templates itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from exporter.client import answers
from exporter.client.answers import SignatureInfo
from exporter.client.row_calls import Call, as_column, width_of, with_neutral
from exporter.errors import OptionError

Ids = Sequence[Sequence[int]]


def encode_segments(segments: Sequence[Sequence[str]], info: SignatureInfo) -> Call[answers.Encoding]:
    """Rows of ``[literal, text, literal, ...]``, filled up with "" to the width that the signature has."""
    columns = {"segments": _padded("segments", segments, "", info, "segments")}
    return Call(
        "encode_segments",
        columns,
        lambda rows, *answer: answers.encodings(len(rows["segments"]), *answer),
    )


def generate_tokens(
    ids: Ids, options: Mapping[str, Any], info: SignatureInfo
) -> Call[answers.TokenCompletion]:
    return _call("generate_tokens", _ids("input_ids", "num_tokens", ids, info), options, info)


def resume(
    ids: Ids, generated: Ids, piece_tokens: int, options: Mapping[str, Any], info: SignatureInfo
) -> Call[answers.TokenCompletion]:
    if len(ids) != len(generated):
        raise OptionError(f"{len(ids)} prompts, but {len(generated)} answers so far: one each is needed")
    columns = {
        **_ids("input_ids", "num_tokens", ids, info),
        **_ids("generated_ids", "num_generated", generated, info),
        "piece_tokens": [piece_tokens] * len(ids),
    }
    return _call("resume", columns, options, info)


def _call(
    signature: str, columns: dict[str, list[Any]], options: Mapping[str, Any], info: SignatureInfo
) -> Call[answers.TokenCompletion]:
    rows = len(columns["num_tokens"])
    given = {name: as_column(name, value, rows, info) for name, value in options.items()}
    complete = with_neutral(signature, columns | given, info)
    return Call(
        signature,
        complete,
        lambda part, *answer: answers.token_completions(len(part["num_tokens"]), *answer),
    )


def _ids(name: str, count: str, ids: Ids, info: SignatureInfo) -> dict[str, list[Any]]:
    rows = [[int(token) for token in row] for row in ids]
    return {name: _padded(name, rows, 0, info, "ids"), count: [len(row) for row in rows]}


def _padded(
    name: str, rows: Sequence[Sequence[Any]], filler: Any, info: SignatureInfo, what: str
) -> list[Any]:
    longest = max(map(len, rows), default=0)
    width = width_of(info.inputs.get(name)) or longest
    if longest > width:
        raise OptionError(f"{name}: a row has {longest} {what}; the signature takes at most {width}")
    return [[*row, *[filler] * (width - len(row))] for row in rows]
