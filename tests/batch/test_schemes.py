"""Input and output of another scheme than this machine's, and kills while something is written there."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("apache_beam", reason="scripts/test --beam")
import pyarrow
from pyarrow import parquet

from exporter.batch import files
from exporter.batch.columns import Request
from exporter.batch.job import Job, begin
from exporter.batch.results import Answered, Asked, finished, write
from exporter.batch.shards import Row, Shard
from exporter.errors import OptionError, OutputError
from exporter.manifest import Manifest
from tests.batch.kept_system import KeptSystem, KilledError
from tests.batch.verb import records, run


@pytest.fixture(params=[False, True], ids=["replaces", "refuses"])
def refuses(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the system refuses to rename to a name that is taken."""
    monkeypatch.setattr(KeptSystem, "refuses", request.param)
    return bool(request.param)


def killed_after(work: Callable[[], None]) -> Iterator[int]:
    """Runs ``work`` again and again, killed after 0, 1, 2, ... changes; yields each count, until it ends."""
    for changes in itertools.count():
        KeptSystem.changes_left = changes
        try:
            work()
            return
        except KilledError:
            pass
        finally:
            KeptSystem.changes_left = math.inf
        yield changes


def test_a_file_is_the_old_one_or_the_new_one_whenever_a_kill_comes(tmp_path: Path, refuses: bool) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    for changes in killed_after(lambda: files.replace(f"kept://{path}", b"new")):
        if refuses and not path.exists():  # between two renames: whole, but aside
            assert "new" in [aside.read_text() for aside in tmp_path.glob("a.txt.*")]
            path.write_text("old")
        assert path.read_text() == "old", changes
    assert path.read_text() == "new"
    assert (changes >= 3) == refuses


def test_no_kill_leaves_a_mark_without_its_answers(tmp_path: Path, refuses: bool) -> None:
    """Of a shard that is written, and of an earlier run's that is cleared away."""
    output = tmp_path / "out"
    job = Job("none", "generate", f"kept://{output}")
    shard = Shard(0, "rows.txt", "text", "0" * 64, 0, 2, 0)
    asked = Asked(shard, (Request(Row("a", {"text": "x"}), {}),), ((Row("b", {}), "bad"),))
    answered = Answered(asked, ({"generated_text": "y"},), 1.0)
    manifest = Manifest.model_construct(files=())

    def work() -> None:
        begin(job, [shard], 2, manifest, overwrite=True)
        write(job, answered)

    def whole() -> bool:
        return [len(list(records(output, kind))) for kind in ("answers", "errors")] == [1, 1]

    work()
    for changes in killed_after(work):
        marked = bool(finished(job))
        assert whole() or not marked, changes
        write(job, answered)  # what an earlier kill left is in the way
        assert whole()
    assert whole()
    assert len(finished(job)) == 1
    assert changes >= 10


@pytest.mark.end_to_end
def test_parquet_in_and_out_where_another_scheme_says(version: Path, tmp_path: Path) -> None:
    for key in (7, 8):
        table = pyarrow.table({"prompt": ["Once upon a time", None], "key": [key, key + 10]})
        parquet.write_table(table, tmp_path / f"{key}.parquet")
    output = tmp_path / "new" / "out"
    common = (f"kept://{tmp_path}/*.parquet", "-o", f"kept://{output}", "--output-format", "parquet",
              "--model", version, "--signature", "generate", "--column", "text=prompt", "--id-column", "key",
              "--option", "max_new_tokens=2")  # fmt: skip
    run(*common)
    for number, key in enumerate(("7", "8")):
        (row,) = parquet.read_table(output / f"answers-0000{number}.parquet").to_pylist()
        assert (row["id"], row["input"]["prompt"]) == (key, "Once upon a time")
        assert row["output"]["num_tokens"] == 2
    assert [(error["id"], error["error"]) for error in records(output, "errors")] == [
        (key, "prompt: the row has no such column") for key in ("17", "18")
    ]
    assert {path.name.partition("-")[0] for path in output.iterdir()} == {
        "answers",
        "errors",
        "done",
        "job.json",
    }
    (output / "answers-00000.parquet").write_text("kept")
    run(*common)
    assert (output / "answers-00000.parquet").read_text() == "kept"


def test_a_scheme_that_beam_does_not_know_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"other://rows\.txt"):
        files.matching("other://rows.txt")
    with pytest.raises(OutputError, match="other://out"):
        files.make_folder("other://out")
