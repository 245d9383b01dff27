"""The whole verb: answers are the version's own to the last bit, whatever the cut and the workers."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("apache_beam", reason="scripts/test --beam")
import tensorflow as tf

from exporter.batch.columns import seed_of
from exporter.saved_model import asking
from tests.batch.conftest import Run
from tests.batch.counting import FOLDER, CountingHandler
from tests.batch.verb import by_id, records, run
from tests.conftest import ROOT

pytestmark = pytest.mark.end_to_end
BATCH, BUCKETS = 4, (8, 32)
DEFAULTS = {
    "max_new_tokens": 5, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "repetition_penalty": 1.0,
    "presence_penalty": 0.0, "frequency_penalty": 0.0,
}  # fmt: skip


def beside_copies(signatures: Any, record: dict[str, Any]) -> dict[str, Any]:
    """What the version answers to a row in a call that holds nothing else: as many copies as it takes."""
    row = {**DEFAULTS, "seed": seed_of(0, record["id"]), **record["input"]}
    outputs = asking.ask(signatures, "generate", {name: [value] * BATCH for name, value in row.items()})
    return {name: values[0] for name, values in outputs.items() if name != "error"}


def test_every_answer_is_that_of_the_rows_own_length_bucket_in_a_full_batch(version: Path, once: Run) -> None:
    loaded = tf.saved_model.load(str(version))
    assert len(once.answers) == 11
    for record in once.answers.values():
        assert record["output"] == beside_copies(loaded.signatures, record)


def test_calls_are_full_and_of_one_length_bucket(
    version: Path, corpus: Path, once: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[list[bytes]] = []
    ask = asking.ask

    def recorded(signatures: Any, name: str, inputs: dict[str, Any]) -> dict[str, Any]:
        if name == "generate":
            calls.append(inputs["text"])
        return ask(signatures, name, inputs)

    monkeypatch.setattr(asking, "ask", recorded)
    output = tmp_path / "several"
    run(corpus, "--model", version, "--signature", "generate", "-o", output, "--shard-rows", 5)
    assert by_id(output) == once.answers
    assert [path.name for path in sorted(output.glob("answers-*"))] == [
        "answers-00000.jsonl",
        "answers-00001.jsonl",
        "answers-00002.jsonl",
    ]
    errors = {record["id"].rsplit(":", 1)[1]: record["error"] for record in records(output, "errors")}
    assert errors == {
        "3": "text: the row has no such column",
        "5": "max_new_tokens=6: allowed: 1 to 5",
        "6": "text: the prompt has 102 tokens; allowed: 1 to 32",
    }
    encode = tf.saved_model.load(str(version)).signatures["encode"]
    for texts in calls:
        assert len(texts) == BATCH
        lengths = encode(text=tf.constant([text for text in texts if text != b"\xff"]))["num_tokens"].numpy()
        assert len({sum(length > bucket for bucket in BUCKETS) for length in lengths}) == 1
    assert sum(text != b"\xff" for texts in calls for text in texts) == 13


def test_two_workers_load_the_version_once_each_and_give_the_same_answers(
    version: Path, corpus: Path, once: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads = tmp_path / "loads"
    loads.mkdir()
    monkeypatch.setenv(FOLDER, str(loads))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr("exporter.batch.pipeline.VersionHandler", CountingHandler)
    output = tmp_path / "two"
    run(
        corpus, "--model", version, "--signature", "generate", "-o", output, "--shard-rows", 4, "--workers", 2
    )
    assert by_id(output) == once.answers
    assert len(list(output.glob("done-*.json"))) == 4
    processes = [path.name.partition("-")[0] for path in loads.iterdir()]
    assert 1 <= len(processes) <= 2
    assert len(set(processes) - {str(os.getpid())}) == len(processes)


def test_a_portable_job_server_with_workers_of_its_own_gives_the_same_answers(
    version: Path, corpus: Path, once: Run, tmp_path: Path
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
    assert by_id(output) == once.answers
