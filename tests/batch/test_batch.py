"""The whole verb: answers are the version's own, whatever the cut; what is finished is not run again."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("apache_beam", reason="scripts/test --beam")
import pyarrow
import tensorflow as tf
from pyarrow import parquet
from typer.testing import CliRunner

from exporter.batch.columns import seed_of
from exporter.cli import app
from exporter.errors import OptionError, OutputError
from exporter.exporting.pipeline import export
from exporter.options import ExportOptions
from tests.conftest import ROOT

pytestmark = pytest.mark.end_to_end
WORDS = ["the", "little", "dog", "ran", "to", "a", "big", "house", "and", "saw", "his", "friend"]


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> Path:
    options = ExportOptions(
        model="demo:stories", prompt_lengths=(8, 32), batch_sizes=(4,), max_new_tokens=5, target="cpu",
        verify="none", warmup="none",
    )  # fmt: skip
    return export(options, tmp_path_factory.mktemp("models")).directory


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    draw = random.Random(4)
    rows: list[Any] = [
        {
            "text": " ".join(draw.choices(WORDS, k=draw.choice([1, 4, 15]))),
            "temperature": draw.choice([0, 0.9]),
        }
        for _ in range(14)
    ]
    rows[3] = {"txt": "x"}
    rows[5]["max_new_tokens"] = 6
    rows[6]["text"] = "dog " * 99
    path = tmp_path_factory.mktemp("corpus") / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def run(*arguments: object) -> Any:
    result = CliRunner().invoke(app, ["batch", *map(str, arguments)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result


def records(output: Path, kind: str) -> Iterator[dict[str, Any]]:
    for path in sorted(output.glob(f"{kind}-*.jsonl")):
        yield from map(json.loads, path.read_text().splitlines())


@pytest.fixture(scope="module")
def once(version: Path, corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The answers of one shard, by their ids."""
    output = tmp_path_factory.mktemp("once") / "out"
    run(corpus, "--model", version, "--signature", "generate", "-o", output)
    return {record["id"]: record for record in records(output, "answers")}


def alone(signature: Any, row: dict[str, Any], identity: str) -> dict[str, Any]:
    """The version's own answer to one row, asked by itself."""
    inputs = {
        "text": tf.constant([row["text"]]),
        "temperature": tf.constant([row["temperature"]], tf.float32),
        "seed": tf.constant([seed_of(0, identity)], tf.int64),
        "max_new_tokens": tf.constant([5]), "top_k": tf.constant([0]), "top_p": tf.constant([1.0]),
        "min_p": tf.constant([0.0]), "repetition_penalty": tf.constant([1.0]),
        "presence_penalty": tf.constant([0.0]), "frequency_penalty": tf.constant([0.0]),
    }  # fmt: skip
    answer = signature(**inputs)
    return {
        "generated_text": answer["generated_text"].numpy()[0].decode(),
        "num_tokens": int(answer["num_tokens"][0]),
    }


def test_answers_do_not_depend_on_the_cut_and_nothing_finished_runs_again(
    version: Path, corpus: Path, once: dict[str, Any], tmp_path: Path
) -> None:
    several, two = tmp_path / "several", tmp_path / "two"
    common = (corpus, "--model", version, "--signature", "generate")
    run(*common, "-o", several, "--shard-rows", 4)
    run(*common, "-o", two, "--shard-rows", 7, "--workers", 2)
    answers = {record["id"]: record for record in records(several, "answers")}
    assert answers == once == {record["id"]: record for record in records(two, "answers")}
    errors = {record["id"].rsplit(":", 1)[1]: record["error"] for record in records(several, "errors")}
    assert errors == {
        "3": "text: the row has no such column",
        "5": "max_new_tokens=6: allowed: 1 to 5",
        "6": "text: the prompt has 102 tokens; allowed: 1 to 32",
    }
    assert len(answers) == 11
    loaded = tf.saved_model.load(str(version))
    for number in (0, 1):
        record = answers[f"{corpus}:{number}"]
        own = alone(loaded.signatures["generate"], record["input"], record["id"])
        assert own == {name: record["output"][name] for name in own}

    # Killed after the shards 0, 2 and 3: only shard 1 is run.
    whole = (several / "answers-00001.jsonl").read_text()
    (several / "done-00001.json").unlink()
    (several / "answers-00001.jsonl").unlink()
    (several / "answers-00000.jsonl").write_text("kept\n")
    (several / ".done-00001.json.0a1b2c3d").write_text("{")  # what a kill in the midst of writing leaves
    run(*common, "-o", several, "--shard-rows", 4)
    assert (several / "answers-00001.jsonl").read_text() == whole
    assert (several / "answers-00000.jsonl").read_text() == "kept\n"
    with pytest.raises(OutputError, match="shard_rows was 4, is 5"):
        run(*common, "-o", several, "--shard-rows", 5)


def test_a_portable_job_server_with_workers_of_its_own_gives_the_same_answers(
    version: Path, corpus: Path, once: dict[str, Any], tmp_path: Path
) -> None:
    """Beam's own one: the job over gRPC, the worker in a process of its own."""
    module = [sys.executable, "-m", "apache_beam.runners.portability.local_job_service_main"]
    ports = tmp_path / "port"
    server = subprocess.Popen([*module, "--port_file", str(ports)], cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        while not ports.exists():
            assert server.poll() is None
            time.sleep(0.1)
        worker = f"{sys.executable} -m apache_beam.runners.worker.sdk_worker_main"
        options = {
            "runner": "PortableRunner", "job_endpoint": f"localhost:{ports.read_text()}",
            "environment_type": "beam:env:harness_subprocess_python:v1", "environment_config": worker,
        }  # fmt: skip
        flags = [f"--beam=--{name}={value}" for name, value in options.items()]
        output = tmp_path / "portable"
        run(corpus, "--model", version, "--signature", "generate", "-o", output, "--shard-rows", 5, *flags)
    finally:
        server.terminate()
        server.wait()
    assert once == {record["id"]: record for record in records(output, "answers")}


def test_parquet_in_and_out_with_columns_of_other_names(version: Path, tmp_path: Path) -> None:
    source = tmp_path / "in.parquet"
    parquet.write_table(pyarrow.table({"prompt": ["Once upon a time", None], "key": [7, 8]}), source)
    output = tmp_path / "out"
    run(source, "-o", output, "--model", version, "--column", "text=prompt", "--id-column", "key",
        "--output-format", "parquet")  # fmt: skip
    (row,) = parquet.read_table(output / "answers-00000.parquet").to_pylist()
    assert (row["id"], row["input"]["prompt"]) == ("7", "Once upon a time")
    assert row["output"]["num_tokens"] == 5
    assert [(error["id"], error["error"]) for error in records(output, "errors")] == [
        ("8", "prompt: the row has no such column")
    ]


def test_what_cannot_be_a_job_is_refused_by_name(version: Path, corpus: Path, tmp_path: Path) -> None:
    common = (corpus, "-o", tmp_path / "out", "--model", version)
    with pytest.raises(OptionError, match="signature 'generat': the version has none of that name"):
        run(*common, "--signature", "generat")
    with pytest.raises(OptionError, match="input 'input_ids' holds several values"):
        run(*common, "--signature", "tokens")
    with pytest.raises(OptionError, match=r"column: .* has no input 'temprature'"):
        run(*common, "--signature", "generate", "--column", "temprature=t")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("x")
    with pytest.raises(OutputError, match="holds files"):
        run(corpus, "-o", tmp_path / "other", "--model", version)
    assert (tmp_path / "other" / "mine.txt").read_text() == "x"
