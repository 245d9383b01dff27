"""Where each row of the input stands, and shards of it that are read, answered and written as one.

A row's number in its file is part of its identity, so ids, and seeds made of them, are the same however the
input is cut.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from exporter.batch.files import matching, open_to_read
from exporter.choices import CorpusFormat
from exporter.errors import OptionError

_KINDS: dict[str, CorpusFormat] = {
    ".txt": "text",
    ".text": "text",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
}


@dataclass(frozen=True)
class Shard:
    """Some rows of one file, one after the other.

    Attributes:
      number: among all shards; its results are files of that number.
      path, kind, sha256: the file.
      first_row: number of its first row in the file, from 0.
      rows: how many.
      offset: byte at which the first one begins; 0 of a Parquet file.
    """

    number: int
    path: str
    kind: CorpusFormat
    sha256: str
    first_row: int
    rows: int
    offset: int


@dataclass(frozen=True)
class Row:
    """A row as it was read.

    Attributes:
      id: of the row: its file's path and its number there, until a column says otherwise.
      values: its columns; None where it could not be read.
      problem: why not.
      raw: what stands there then.
    """

    id: str
    values: dict[str, Any] | None
    problem: str = ""
    raw: str = ""


def kind_of(path: str, given: CorpusFormat | None) -> CorpusFormat:
    """The format of a file, by its name unless ``given``; raises OptionError for another name."""
    suffix = "." + path.rsplit(".", 1)[-1].lower()
    if given is None and suffix not in _KINDS:
        raise OptionError(
            f"input {path!r}: its name tells no format; allowed: {', '.join(_KINDS)}, or --input-format"
        )
    return given or _KINDS[suffix]


def cut(patterns: Sequence[str], kind: CorpusFormat | None, rows_per_shard: int) -> list[Shard]:
    """Every row of every file that a pattern names, in shards; files in the order of their names.

    Every file is read whole, for its digest and for where its lines begin.

    Raises:
      OptionError: a pattern names no file, or a file is none of its format.
    """
    shards: list[Shard] = []
    for path in sorted({path for pattern in patterns for path in matching(pattern)}):
        own = kind_of(path, kind)
        with open_to_read(path) as file:
            sha256, rows, starts = (
                _of_parquet(path, file) if own == "parquet" else _of_lines(file, rows_per_shard)
            )
        for place, first in enumerate(range(0, rows, rows_per_shard)):
            count, start = min(rows_per_shard, rows - first), starts[place] if starts else 0
            shards.append(Shard(len(shards), path, own, sha256, first, count, start))
    return shards


def _of_lines(file: Any, rows_per_shard: int) -> tuple[str, int, list[int]]:
    """SHA-256 of a file, its lines, and the byte at which each shard begins."""
    digest, starts, count, offset = hashlib.sha256(), [], 0, 0
    for line in file:
        digest.update(line)
        if count % rows_per_shard == 0:
            starts.append(offset)
        count, offset = count + 1, offset + len(line)
    return digest.hexdigest(), count, starts


def _of_parquet(path: str, file: Any) -> tuple[str, int, list[int]]:
    """The same of a Parquet file, whose rows begin at no byte of their own."""
    digest = hashlib.file_digest(file, "sha256").hexdigest()
    file.seek(0)
    return digest, _parquet(path, file).metadata.num_rows, []


def _parquet(path: str, file: Any) -> Any:
    import pyarrow
    from pyarrow import parquet

    try:
        return parquet.ParquetFile(file)
    except pyarrow.ArrowException as error:
        raise OptionError(f"input {path!r} is no Parquet file: {error}") from error


def read(shard: Shard) -> Iterator[Row]:
    """A shard's rows, in order."""
    with open_to_read(shard.path) as file:
        if shard.kind == "parquet":
            yield from _read_parquet(shard, file)
            return
        file.seek(shard.offset)
        for number in range(shard.first_row, shard.first_row + shard.rows):
            line = file.readline().rstrip(b"\n").removesuffix(b"\r")
            name = f"{shard.path}:{number}"
            yield Row(name, {"text": line}) if shard.kind == "text" else _json_row(name, line)


def _json_row(name: str, line: bytes) -> Row:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError) as error:
        return Row(name, None, f"no JSON: {error}", line.decode("utf-8", "replace"))
    if not isinstance(values, dict):
        return Row(name, None, "no JSON object with a value for each column", line.decode("utf-8", "replace"))
    return Row(name, values)


def _read_parquet(shard: Shard, file: Any) -> Iterator[Row]:
    """Row groups before the shard's first row are passed over unread."""
    source = _parquet(shard.path, file)
    before, groups = 0, []
    end = shard.first_row + shard.rows
    for group in range(source.metadata.num_row_groups):
        rows = source.metadata.row_group(group).num_rows
        if before + rows > shard.first_row and before < end:
            groups.append((group, before))
        before += rows
    if not groups:
        return
    number = groups[0][1]
    for batch in source.iter_batches(row_groups=[group for group, _ in groups]):
        for values in batch.to_pylist():
            if shard.first_row <= number < end:
                yield Row(f"{shard.path}:{number}", values)
            number += 1
