"""A shard's results: answers, rows that got none with the reason, and last a mark that both are whole."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from exporter.batch import files
from exporter.batch.columns import BadRowError, Columns, Request
from exporter.batch.job import Job
from exporter.batch.shards import Row, Shard


@dataclass(frozen=True)
class Done:
    """What a finished shard says of itself.

    Attributes:
      rows: how many were read; ``errors`` of them got no answer.
      tokens: generated ones, where the signature counts them.
      seconds: that answering took.
    """

    shard: int
    rows: int
    errors: int
    tokens: int
    seconds: float


@dataclass(frozen=True)
class Asked:
    """A shard's rows as far as they can be asked, and the others with their reasons."""

    shard: Shard
    requests: tuple[Request, ...]
    refused: tuple[tuple[Row, str], ...]


@dataclass(frozen=True)
class Answered:
    """The outputs of ``asked.requests``, in order."""

    asked: Asked
    outputs: tuple[dict[str, Any], ...]
    seconds: float


def sort_out(shard: Shard, rows: Sequence[Row], columns: Columns) -> Asked:
    """Requests of the rows that make one."""
    requests: list[Request] = []
    refused: list[tuple[Row, str]] = []
    for row in rows:
        try:
            row = columns.named(row)
            requests.append(columns.request(row))
        except BadRowError as error:
            refused.append((row, str(error)))
    return Asked(shard, tuple(requests), tuple(refused))


def write(job: Job, answered: Answered) -> Done:
    """Writes a shard's files; the mark last. A shard that is written twice has the same files."""
    asked, answers, errors, tokens = answered.asked, [], [], 0
    for request, outputs in zip(asked.requests, answered.outputs, strict=True):
        failed = _error(outputs.get("error"))
        if failed:
            errors.append(_refusal(request.row, failed))
            continue
        tokens += _sum(outputs.get("num_tokens", 0))
        shown = {name: value for name, value in outputs.items() if name != "error"}
        answers.append({"id": request.row.id, "input": _inputs(request.row), "output": shown})
    errors += [_refusal(row, reason) for row, reason in asked.refused]
    number, ending = f"{asked.shard.number:05d}", job.output_kind
    rows = len(asked.requests) + len(asked.refused)
    done = Done(asked.shard.number, rows, len(errors), tokens, answered.seconds)
    if errors:
        files.replace(files.join(job.output, f"errors-{number}.jsonl"), _lines(errors))
    encoded = _lines(answers) if ending == "jsonl" else _parquet(answers)
    files.replace(files.join(job.output, f"answers-{number}.{ending}"), encoded)
    files.replace(files.join(job.output, f"done-{number}.json"), json.dumps(asdict(done)).encode())
    return done


def finished(job: Job) -> list[Done]:
    """The marks of all shards that are whole, by number."""
    return [_mark(path) for path in sorted(files.inside(job.output, "done-*.json"))]


def mark_of(job: Job, shard: Shard) -> Done | None:
    """The mark of a shard, if it is whole."""
    path = files.join(job.output, f"done-{shard.number:05d}.json")
    return _mark(path) if files.exists(path) else None


def _mark(path: str) -> Done:
    with files.open_to_read(path) as file:
        return Done(**json.loads(file.read()))


def first_reason(job: Job) -> str:
    """Why a row got no answer, of a run in which there is one."""
    path = next(iter(sorted(files.inside(job.output, "errors-*.jsonl"))))
    with files.open_to_read(path) as file:
        return str(json.loads(file.readline())["error"])


def _error(value: Any) -> str:
    """The first message of a row's; a row of several sequences has one for each."""
    if isinstance(value, list):
        return next((text for text in value if text), "")
    return value or ""


def _sum(value: Any) -> int:
    return sum(map(_sum, value)) if isinstance(value, list) else int(value)


def _inputs(row: Row) -> dict[str, Any]:
    return {name: _jsonable(value) for name, value in (row.values or {}).items()}


def _refusal(row: Row, reason: str) -> dict[str, Any]:
    shown = {"raw": row.raw} if row.values is None else _inputs(row)
    return {"id": row.id, "input": shown, "error": reason}


def _jsonable(value: Any) -> Any:
    """Bytes that are no text keep what they are, in base64."""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return {"b64": base64.b64encode(value).decode()}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, dict):
        return {str(key): _jsonable(item) for key, item in value.items()}
    return [_jsonable(item) for item in value] if isinstance(value, list | tuple) else str(value)


def _lines(records: Sequence[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records).encode(
        "utf-8", "surrogatepass"
    )


def _parquet(records: Sequence[dict[str, Any]]) -> bytes:
    import pyarrow
    from pyarrow import parquet

    sink = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist(list(records)), sink)
    return sink.getvalue()
