"""Where each row of the input stands, and shards of it that are read, answered and written as one.

A row's number in its file is part of its identity, so ids, and seeds made of them, are the same however the
input is cut.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from exporter.batch.files import open_to_read, sizes
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
      path, kind, bytes: the file.
      first_row: number of its first row in the file, from 0.
      rows: how many.
      offset: byte at which the first one begins; 0 of a Parquet file.
    """

    number: int
    path: str
    kind: CorpusFormat
    bytes: int
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

    Raises:
      OptionError: a pattern names no file, or a file is none of its format.
    """
    shards: list[Shard] = []
    found = {path: size for pattern in patterns for path, size in sizes(pattern).items()}
    for path, size in sorted(found.items()):
        own = kind_of(path, kind)
        starts = _parquet_starts if own == "parquet" else _line_starts
        for first, rows, offset in starts(path, rows_per_shard):
            shards.append(Shard(len(shards), path, own, size, first, rows, offset))
    return shards


def _line_starts(path: str, rows_per_shard: int) -> Iterator[tuple[int, int, int]]:
    """(first row, rows, byte) of each shard of a file of lines."""
    count = offset = start = 0
    with open_to_read(path) as file:
        for line in file:
            if count and count % rows_per_shard == 0:
                yield count - rows_per_shard, rows_per_shard, start
                start = offset
            count, offset = count + 1, offset + len(line)
    left = count % rows_per_shard or min(count, rows_per_shard)
    if left:
        yield count - left, left, start


def _parquet_starts(path: str, rows_per_shard: int) -> Iterator[tuple[int, int, int]]:
    with open_to_read(path) as file:
        total = _parquet(path, file).metadata.num_rows
    for first in range(0, total, rows_per_shard):
        yield first, min(rows_per_shard, total - first), 0


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
