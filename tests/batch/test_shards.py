"""However a corpus is cut, its rows are the same rows with the same ids."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("apache_beam", reason="scripts/test --beam")
import pyarrow
from pyarrow import parquet

from exporter.batch.shards import cut, kind_of, read
from exporter.errors import OptionError

ROWS = [{"text": f"row {number} é", "n": number} for number in range(23)]


def write(folder: Path, kind: str) -> Path:
    if kind == "parquet":
        path = folder / "corpus.parquet"
        parquet.write_table(pyarrow.Table.from_pylist(ROWS), path, row_group_size=5)
    elif kind == "jsonl":
        path = folder / "corpus.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    else:
        path = folder / "corpus.txt"
        path.write_text("\r\n".join(row["text"] for row in ROWS), encoding="utf-8")
    return path


@pytest.mark.parametrize("kind", ["text", "jsonl", "parquet"])
@pytest.mark.parametrize("size", [1, 4, 5, 23, 100])
def test_every_row_is_read_once_and_in_order(tmp_path: Path, kind: str, size: int) -> None:
    path = write(tmp_path, kind)
    shards = cut([str(path)], None, size)
    rows = [row for shard in shards for row in read(shard)]
    expected = [{"text": row["text"].encode()} for row in ROWS] if kind == "text" else ROWS
    assert [row.values for row in rows] == expected
    assert [row.id for row in rows] == [f"{path}:{number}" for number in range(len(ROWS))]
    assert [shard.number for shard in shards] == list(range(-(-len(ROWS) // size)))


def test_files_that_match_follow_each_other_by_name(tmp_path: Path) -> None:
    for name in ("b.txt", "a.txt"):
        (tmp_path / name).write_text(f"of {name}\n")
    (tmp_path / "empty.txt").write_text("")
    shards = cut([str(tmp_path / "*.txt")], None, 10)
    assert [row.values for shard in shards for row in read(shard)] == [
        {"text": b"of a.txt"},
        {"text": b"of b.txt"},
    ]


def test_a_file_may_be_called_like_a_pattern(tmp_path: Path) -> None:
    (tmp_path / "a[1].txt").write_text("x\n")
    (tmp_path / "a1.txt").write_text("y\n")
    (shard,) = cut([str(tmp_path / "a[1].txt")], None, 10)
    assert [row.values for row in read(shard)] == [{"text": b"x"}]


def test_a_line_that_is_no_object_is_a_row_with_its_reason(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    path.write_bytes(b'{"text": "a"}\n{broken\n[1]\n"x"\n\xff\n{"text": "b"}\n')
    (shard,) = cut([str(path)], None, 10)
    rows = list(read(shard))
    assert [row.values for row in rows] == [{"text": "a"}, None, None, None, None, {"text": "b"}]
    assert all(row.problem.startswith("no JSON") for row in rows[1:5])
    assert rows[1].raw == "{broken"


def test_what_is_no_input_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="there is no such file"):
        cut([str(tmp_path / "none*.txt")], None, 10)
    with pytest.raises(OptionError, match=r"tells no format; allowed: .*\.jsonl"):
        kind_of("corpus.csv", None)
    (tmp_path / "fake.parquet").write_text("no")
    with pytest.raises(OptionError, match="no Parquet file"):
        cut([str(tmp_path / "fake.parquet")], None, 10)
