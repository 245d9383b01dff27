"""What is finished is not run again, and nothing of another job is mixed with it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("apache_beam", reason="scripts/test --beam")
import pyarrow
from pyarrow import parquet

from exporter.batch.job import Job, begin
from exporter.batch.pipeline import VersionHandler
from exporter.batch.results import Answered, Asked, write
from exporter.batch.shards import cut
from exporter.errors import OutputError
from exporter.manifest import Manifest
from tests.batch.conftest import Run
from tests.batch.verb import by_id, records, run
from tests.conftest import ROOT

MANIFEST = Manifest.model_construct(files=())


def of_shards(output: Path, numbers: set[str]) -> dict[str, int]:
    """When the files of some shards were written."""
    paths = [path for path in output.iterdir() if path.stem.rpartition("-")[2] in numbers]
    return {path.name: path.stat().st_mtime_ns for path in paths}


@pytest.mark.end_to_end
def test_a_run_that_is_killed_goes_on_with_the_shards_that_are_not_finished(
    version: Path, corpus: Path, once: Run, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    common = [str(corpus), "--model", str(version), "--signature", "generate", "-o", str(output)]
    command = [sys.executable, "-m", "exporter", "batch", *common, "--shard-rows", "1"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not list(output.glob("done-*.json")):
        assert process.poll() is None
        time.sleep(0.001)
    process.kill()
    process.wait()
    finished = {path.stem.removeprefix("done-") for path in output.glob("done-*.json")}
    assert 0 < len(finished) < 14
    before = of_shards(output, finished)
    assert len(before) >= 2 * len(finished)
    (output / ".done-00001.json.0a1b2c3d").write_text("{")  # what a kill in the midst of writing leaves

    result = run(*common, "--shard-rows", 1)
    assert of_shards(output, finished) == before
    assert by_id(output) == once.answers
    assert sorted(record["id"] for record in records(output, "errors")) == [
        f"{corpus}:{n}" for n in (3, 5, 6)
    ]
    assert "14 rows, 11 answered, 3 not" in result.stdout
    with pytest.raises(OutputError, match="shard_rows was 1, is 5"):
        run(*common, "--shard-rows", 5)


def test_a_shard_that_is_whole_is_not_answered_again(tmp_path: Path) -> None:
    """Asked of the handler itself, as by a runner that repeats a bundle; there is no version to ask."""
    path = tmp_path / "rows.txt"
    path.write_text("a\n")
    job = Job("none", "generate", str(tmp_path / "out"))
    (shard,) = cut([str(path)], None, 10)
    begin(job, [shard], 10, MANIFEST, overwrite=False)
    done = write(job, Answered(Asked(shard, (), ()), (), 1.5))
    assert list(VersionHandler(job).run_inference([shard], None)) == [done]


@pytest.mark.parametrize("kind", ["txt", "parquet"])
def test_a_corpus_that_is_rewritten_in_as_many_bytes_is_another_job(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"rows.{kind}"

    def written(word: str) -> int:
        if kind == "txt":
            path.write_text(f"{word}\n" * 3)
        else:
            parquet.write_table(pyarrow.table({"text": [word] * 3}), path)
        begin(job, cut([str(path)], None, 2), 2, MANIFEST, overwrite=False)
        return path.stat().st_size

    job = Job("none", "generate", str(tmp_path / "out"))
    size = written("cat")
    assert written("cat") == size
    with pytest.raises(OutputError, match=rf"SHA-256 of input .*rows\.{kind} was '"):
        written("dog")
    assert path.stat().st_size == size


def test_a_job_file_of_something_else_is_refused(tmp_path: Path) -> None:
    job = Job("none", "generate", str(tmp_path))
    for text in ("{broken", "[]", json.dumps({"models": []})):
        (tmp_path / "job.json").write_text(text)
        with pytest.raises(OutputError, match=r"job\.json: it is of no batch job"):
            begin(job, [], 2, MANIFEST, overwrite=False)


def test_overwrite_starts_anew_and_leaves_what_is_not_its_own(version: Path, tmp_path: Path) -> None:
    empty, output = tmp_path / "empty.jsonl", tmp_path / "out"
    empty.write_text("")
    common = (empty, "-o", output, "--model", version)
    run(*common)
    for name in ("answers-00007.jsonl", "errors-00007.jsonl", "done-00007.json", "mine.txt"):
        (output / name).write_text("old")
    (output / "done-00007.json").write_text(
        '{"shard": 7, "rows": 2, "errors": 1, "tokens": 3, "seconds": 1.0}'
    )
    with pytest.raises(OutputError, match="seed was 0, is 1"):
        run(*common, "--seed", 1)
    assert "0 rows, 0 answered" in run(*common, "--seed", 1, "--overwrite").stdout
    assert sorted(path.name for path in output.iterdir()) == ["job.json", "mine.txt"]
    run(*common, "--seed", 1)
