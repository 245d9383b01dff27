"""Batching: merging, padding, queues, limits, and one error for a whole batch."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from exporter.client import RequestError, RestClient
from exporter.errors import ServingError
from exporter.preview.batching import BatchingParameters, Scheduler, read_parameters
from exporter.preview.metrics import Metrics
from exporter.preview.servable import Signature, TensorSpec
from exporter.preview.status import Code, StatusError
from serving_configs import protos, render
from tests.preview import toys
from tests.serving_configs.manifests import manifest


class Fake:
    """A servable whose signature records its batches, and can be held."""

    name, version = "fake", 1

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.started = threading.Semaphore(0)
        spec = {"x": TensorSpec(np.int32, (None,))}
        self.signature = Signature("double", spec, {"y": TensorSpec(np.int32, (None,))}, self._call)
        self.run: Any = None
        self.on_unload: Any = None

    def _call(self, x: Any) -> dict[str, Any]:
        self.started.release()
        self.gate.wait(20)
        self.batches.append(x.numpy().tolist())
        if 13 in self.batches[-1]:
            raise StatusError(Code.INVALID_ARGUMENT, "thirteen")
        return {"y": x * 2}

    def send(self, *rows: int, signature: Signature | None = None) -> list[int]:
        tensors = {"x": np.array(rows, np.int32)}
        return list(self.run(signature or self.signature, tensors, ["y"])["y"].tolist())


@pytest.fixture
def batched() -> Any:
    """``batched(**parameters)`` -> a fake servable behind a scheduler, and the metrics."""
    schedulers: list[Scheduler] = []
    fakes: list[Fake] = []

    def make(**values: Any) -> tuple[Fake, Metrics]:
        metrics, fake = Metrics(), Fake()
        scheduler = Scheduler(BatchingParameters(**({"num_batch_threads": 1} | values)), metrics)
        scheduler.wrap(fake)  # type: ignore[arg-type]
        schedulers.append(scheduler)
        fakes.append(fake)
        return fake, metrics

    yield make
    for fake in fakes:
        fake.gate.set()
    for scheduler in schedulers:
        scheduler.close()


def together(calls: list[Callable[[], Any]]) -> list[Any]:
    """Runs calls at once; gives results or the errors raised."""

    def guard(call: Callable[[], Any]) -> Any:
        try:
            return call()
        except StatusError as error:
            return error

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(guard, calls))


def test_requests_are_merged_padded_and_split(batched: Any) -> None:
    fake, metrics = batched(max_batch_size=8, batch_timeout_micros=500_000, allowed_batch_sizes=(2, 4, 8))
    answers = together([lambda: fake.send(1), lambda: fake.send(2, 3), lambda: fake.send(4, 5)])
    assert answers == [[2], [4, 6], [8, 10]]
    (batch,) = fake.batches
    assert len(batch) == 8
    assert sorted(batch[:5]) == [1, 2, 3, 4, 5]
    # Copies of the last request's first row.
    last_first = {1: 1, 3: 2, 5: 4}[batch[4]]
    assert batch[5:] == [last_first] * 3
    page = metrics.page()
    assert ':tensorflow:serving:batching_session:padding_size_sum{execution_batch_size="8"} 3' in page
    assert ":tensorflow:serving:batching_session:processed_batch_size_count{} 1" in page
    assert (
        ':tensorflow:serving:batching_session:queuing_latency_count{thread_pool_name="batch_threads"} 3'
        in page
    )


def test_a_full_batch_runs_at_once(batched: Any) -> None:
    fake, _ = batched(max_batch_size=2, batch_timeout_micros=60_000_000, allowed_batch_sizes=(2,))
    assert fake.send(7, 8) == [14, 16]


def test_a_lonely_request_waits_for_the_timeout_only(batched: Any) -> None:
    fake, _ = batched(max_batch_size=64, batch_timeout_micros=20_000)
    assert fake.send(3) == [6]
    assert fake.batches == [[3]]


def test_too_large_and_too_many(batched: Any) -> None:
    fake, metrics = batched(max_batch_size=2, max_enqueued_batches=2, batch_timeout_micros=0)
    with pytest.raises(StatusError, match="Task size 3 is larger than maximum input batch size 2") as caught:
        fake.send(1, 2, 3)
    assert caught.value.code is Code.INVALID_ARGUMENT
    fake.gate.clear()
    with ThreadPoolExecutor(8) as pool:
        running = pool.submit(fake.send, 0, 0)
        assert fake.started.acquire(timeout=20)
        # One batch is being processed; two may wait.
        waiting = [pool.submit(fake.send, number, number) for number in (1, 2)]
        while metrics.page().count("input_batch_size_count{} 4") < 1:
            time.sleep(0.01)
        with pytest.raises(
            StatusError, match="currently 2 batches enqueued and max_enqueued_batches is 2"
        ) as caught:
            fake.send(3)
        assert caught.value.code is Code.UNAVAILABLE
        fake.gate.set()
        assert [call.result(20) for call in [running, *waiting]] == [[0, 0], [2, 2], [4, 4]]
    assert fake.send(5) == [10]


def test_an_error_reaches_every_client_of_the_batch_and_no_other(batched: Any) -> None:
    fake, _ = batched(max_batch_size=2, batch_timeout_micros=500_000)
    answers = together([lambda: fake.send(13), lambda: fake.send(1)])
    assert [str(answer) for answer in answers] == ["INVALID_ARGUMENT: thirteen"] * 2
    assert fake.send(1, 2) == [2, 4]


def test_signatures_have_queues_of_their_own(batched: Any) -> None:
    fake, _ = batched(max_batch_size=4, batch_timeout_micros=100_000)
    other = Signature("other", fake.signature.inputs, fake.signature.outputs, fake.signature.function)
    together([lambda: fake.send(1), lambda: fake.send(2, signature=other), lambda: fake.send(3)])
    assert sorted(sorted(batch) for batch in fake.batches) == [[1, 3], [2]]


def test_rules_on_inputs(batched: Any) -> None:
    fake, _ = batched(max_batch_size=4)
    cases: list[tuple[dict[str, Any], str]] = [
        ({}, "must have at least one input tensor"),
        ({"x": np.int32(1)}, "must have at least one dimension"),
        ({"x": np.zeros(1), "z": np.zeros(2)}, "must have equal 0th-dimension size"),
    ]
    for tensors, message in cases:
        with pytest.raises(StatusError, match=message):
            fake.run(fake.signature, {key: np.asarray(value) for key, value in tensors.items()}, ["y"])


def test_requests_that_an_unload_finds_in_a_queue_are_answered(batched: Any) -> None:
    """A drain that ended too early leaves them behind, and no thread looks at the queue anymore."""
    fake, metrics = batched(max_batch_size=4, batch_timeout_micros=600_000_000)
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(fake.send, number) for number in (1, 2)]
        while metrics.page().count("input_batch_size_count{} 2") < 1:
            time.sleep(0.01)
        fake.on_unload()
        for call in waiting:
            with pytest.raises(StatusError, match="version 1 of model fake is being unloaded") as caught:
                call.result(20)
            assert caught.value.code is Code.UNAVAILABLE
    assert fake.batches == []
    assert fake.send(3) == [6]  # alone: it found the version just before


def test_a_request_after_the_threads_ended_is_answered() -> None:
    scheduler, fake = Scheduler(BatchingParameters(num_batch_threads=1), Metrics()), Fake()
    scheduler.wrap(fake)  # type: ignore[arg-type]
    scheduler.close()
    with pytest.raises(StatusError, match="is being unloaded") as caught:
        fake.send(1)
    assert caught.value.code is Code.UNAVAILABLE


def test_empty_batches_are_refused_or_hang_until_the_server_stops(batched: Any) -> None:
    fake, _ = batched(max_batch_size=4)
    with pytest.raises(StatusError, match="never answers such a request") as caught:
        fake.send()
    assert caught.value.code is Code.INVALID_ARGUMENT
    scheduler = Scheduler(BatchingParameters(num_batch_threads=1), Metrics(), hang_on_empty_batches=True)
    scheduler.wrap(fake)
    with ThreadPoolExecutor(1) as pool:
        hanging = pool.submit(fake.send)
        assert fake.send(1) == [2]
        assert not hanging.done()
        scheduler.close()
        with pytest.raises(StatusError, match="UNAVAILABLE: the server stops"):
            hanging.result(20)


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_the_emitted_file_is_read(tmp_path: Path) -> None:
    parameters = read_parameters(write(tmp_path / "b", render([manifest()])["batching.config"]))
    assert parameters.allowed_batch_sizes == (1, 4, 8)
    assert parameters.max_batch_size == 8
    assert parameters.thread_pool_name == "genserve"
    assert parameters.padded(5) == 8


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max_batch_size: 4", "Expected"),
        (
            "max_batch_size { value: 4 } allowed_batch_sizes: 2",
            "must match max_batch_size; last entry was 2; expected 4",
        ),
        ("max_batch_size { value: 4 } allowed_batch_sizes: 8 allowed_batch_sizes: 4", "must increase"),
        ("num_batch_threads { value: 0 }", "must be at least 1"),
        ("pad_variable_length_inputs: true", "neither pad_variable_length_inputs"),
        ("max_batchsize { value: 4 }", "max_batchsize"),
    ],
)
def test_files_that_no_server_takes(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ServingError, match=message):
        read_parameters(write(tmp_path / "b", text))


BATCHING = """
max_batch_size { value: 4 } batch_timeout_micros { value: 300000 } max_enqueued_batches { value: 100 }
num_batch_threads { value: 2 } allowed_batch_sizes: 1 allowed_batch_sizes: 4
"""
MONITORING = 'prometheus_config { enable: true path: "/monitoring/prometheus/metrics" }'


def test_over_rest_with_metrics(start: Any, toy_versions: Path, tmp_path: Path) -> None:
    server = start(
        model_name="toy",
        model_base_path=toy_versions,
        batching_parameters_file=write(tmp_path / "batching.config", BATCHING),
        monitoring_config_file=write(tmp_path / "monitoring.config", MONITORING),
    )
    client = RestClient(server.rest_url, "toy")
    with ThreadPoolExecutor(8) as pool:
        texts = [f"t{index}" for index in range(8)]
        answers = list(pool.map(lambda text: client.generate([text])[0].text, texts))
    assert answers == [f"T{index} v2" for index in range(8)]
    for inputs, message in (
        ({"text": ["a"] * 5}, "Task size 5 is larger than maximum input batch size 4"),
        ({"text": ["boom"]}, "boom is refused"),
    ):
        with pytest.raises(RequestError, match=message):
            client.predict("serving_default", inputs)
    uneven = {"signature_name": "pair", "inputs": {"scale": [1.0], "count": [1, 2], "negate": [True]}}
    response = httpx.post(
        f"{server.rest_url}/v1/models/toy:predict", content=json.dumps(uneven), trust_env=False
    )
    assert response.status_code == 400
    assert "equal 0th-dimension size" in response.json()["error"]
    scalar = RestClient(server.rest_url, "toy")
    with pytest.raises(RequestError, match="Batched output tensor has 0 dimensions") as caught:
        scalar.predict("scalar", {"text": ["a"]})
    assert caught.value.http_status == 400

    page = httpx.get(f"{server.rest_url}/monitoring/prometheus/metrics", trust_env=False).text
    families = {family.name: family for family in text_string_to_metric_families(page)}
    counts = {
        (sample.labels["model_name"], sample.labels["status"]): sample.value
        for sample in families[":tensorflow:serving:request_count"].samples
    }
    assert counts == {("toy", "OK"): 8, ("toy", "INVALID_ARGUMENT"): 3, ("toy", "FAILED_PRECONDITION"): 1}
    latency = families[":tensorflow:serving:request_latency"]
    assert latency.type == "histogram"
    (total,) = [sample for sample in latency.samples if sample.name.endswith("_count")]
    assert total.labels == {"model_name": "toy", "API": "Predict", "entrypoint": "REST"}
    assert total.value == 8
    processed = families[":tensorflow:serving:batching_session:processed_batch_size"].samples
    batches = next(sample.value for sample in processed if sample.name.endswith("_count"))
    assert batches < 8  # some of them were merged


def test_per_model_parameters(start: Any, own_versions: Path, tmp_path: Path) -> None:
    """A version without its own file is not batched: any size passes."""
    (own_versions / "1" / "batching_params.pbtxt").write_text(
        "max_batch_size { value: 2 } allowed_batch_sizes: 2 batch_timeout_micros { value: 0 }"
    )
    config = tmp_path / "models.config"
    config.write_text(
        toys.models_config(f'name: "toy" base_path: "{own_versions}" model_version_policy {{ all {{}} }}')
    )
    server = start(
        model_config_file=config,
        batching_parameters_file=write(tmp_path / "batching.config", BATCHING),
        enable_per_model_batching_parameters=True,
    )
    assert len(RestClient(server.rest_url, "toy").generate(["a"] * 9)) == 9
    with pytest.raises(RequestError, match="Task size 9 is larger than maximum input batch size 2"):
        RestClient(server.rest_url, "toy", version=1).generate(["a"] * 9)


def test_warmup_goes_through_the_batcher(start: Any, own_versions: Path, tmp_path: Path) -> None:
    toys.write_warmup(own_versions / "2", [("copy", {"text": ["a"] * 5})])
    with pytest.raises(ServingError, match="Task size 5 is larger than maximum input batch size 4"):
        start(
            model_name="toy",
            model_base_path=own_versions,
            batching_parameters_file=write(tmp_path / "batching.config", BATCHING),
        )


def test_the_text_form_needs_wrapped_values() -> None:
    """``max_batch_size: 4`` is not the server's spelling; the descriptors built here know that."""
    message = protos.from_text("max_batch_size { value: 4 }", protos.new("BatchingParameters"))
    assert message.max_batch_size.value == 4
