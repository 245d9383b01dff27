"""The batching files: buckets, queues, threads and timeouts from stated clients and measured batches."""

from __future__ import annotations

import re
from typing import Any

import pytest

from exporter.errors import OptionError
from exporter.manifest import Buckets, WarmupInfo
from serving_configs import ServingOptions, protos, render, render_model_files
from tests.serving_configs.manifests import manifest
from tests.serving_configs.test_render import docker_words


def check_server_rules(text: str) -> None:
    """What the server checks when it reads a batching file."""
    parameters = protos.from_text(text, protos.new("BatchingParameters"))
    sizes = list(parameters.allowed_batch_sizes)
    assert sizes == sorted(set(sizes))
    assert sizes[-1] == parameters.max_batch_size.value
    assert parameters.max_enqueued_batches.value >= 1
    assert not parameters.pad_variable_length_inputs


def test_batching_files_hold_the_buckets() -> None:
    small, large = manifest(), manifest("chat", buckets=Buckets(prompt_lengths=(64,), batch_sizes=(2, 16)))
    text = render([small, large])["batching.config"]
    check_server_rules(text)
    assert list(protos.from_text(text, protos.new("BatchingParameters")).allowed_batch_sizes) == [2, 16]
    for model in (small, large):
        own = render_model_files(model)["batching_params.pbtxt"]
        check_server_rules(own)
        parameters = protos.from_text(own, protos.new("BatchingParameters"))
        assert tuple(parameters.allowed_batch_sizes) == model.buckets.batch_sizes
        assert not parameters.HasField("num_batch_threads")
    assert "--enable_per_model_batching_parameters=true" in docker_words(render([small, large])["run-gpu.sh"])
    assert "--enable_per_model_batching_parameters=true" not in docker_words(render([small])["run-gpu.sh"])


def test_the_queue_keeps_the_latency_goal() -> None:
    options = ServingOptions(latency_goal_seconds=10, batch_seconds=2.5)
    text = render([manifest()], options)["batching.config"]
    parameters = protos.from_text(text, protos.new("BatchingParameters"))
    # Three waiting batches of 2.5 s and the running one: 10 s.
    assert parameters.max_enqueued_batches.value == 3
    assert parameters.batch_timeout_micros.value == 50_000
    assert parameters.num_batch_threads.value == 1


def queue(options: ServingOptions, **changes: Any) -> int:
    text = render([manifest(**changes)], options)["batching.config"]
    parameters = protos.from_text(text, protos.new("BatchingParameters"))
    return int(parameters.max_enqueued_batches.value)


MEASURED = WarmupInfo(records=6, seconds=12.5, batch_seconds=2.5, device="cpu")


def test_the_queue_holds_the_stated_clients() -> None:
    """A client has one request in flight, and a request fills at most one batch."""
    assert queue(ServingOptions()) == 64
    assert queue(ServingOptions(concurrent_clients=200)) == 200
    # Measured by "genserve warm": three batches wait within the goal of 10 s; with the running one they
    # hold 32 rows.
    assert queue(ServingOptions(), warmup=MEASURED) == 3
    assert queue(ServingOptions(batch_seconds=0.5), warmup=MEASURED) == 19
    assert queue(ServingOptions(concurrent_clients=2), warmup=MEASURED) == 2
    assert queue(ServingOptions(concurrent_clients=32), warmup=MEASURED) == 3
    with pytest.raises(OptionError, match=r"33 concurrent_clients fill 5 batches, 12\.5 s at 2\.5 s a batch"):
        queue(ServingOptions(concurrent_clients=33), warmup=MEASURED)


def test_each_model_has_a_queue_for_its_own_speed() -> None:
    fast = WarmupInfo(records=6, seconds=1.0, batch_seconds=0.1, device="cpu")
    lengths = []
    for model in (manifest(warmup=MEASURED), manifest(version=2, warmup=fast)):
        text = render_model_files(model)["batching_params.pbtxt"]
        lengths.append(protos.from_text(text, protos.new("BatchingParameters")).max_enqueued_batches.value)
    assert lengths == [3, 99]
    words = docker_words(render([manifest(warmup=MEASURED), manifest(version=2, warmup=fast)])["run-cpu.sh"])
    assert "--enable_per_model_batching_parameters=true" in words


def rest_timeouts(options: ServingOptions, **changes: Any) -> set[str]:
    """In seconds, wherever one is written."""
    files = render([manifest(**changes)], options)
    (flag,) = {w for w in docker_words(files["run-cpu.sh"]) if w.startswith("--rest_api_timeout_in_ms=")}
    front = set(re.findall(r"_read_timeout (\d+)s", files["nginx.conf.template"]))
    grace = re.findall(r"stop_grace_period: (\d+)s", files["docker-compose.yaml"])
    return front | set(grace) | {f"{int(flag.partition('=')[2]) / 1000:g}"}


def test_rest_requests_are_given_up_when_the_queue_cannot_explain_it() -> None:
    assert rest_timeouts(ServingOptions()) == {"120"}
    assert rest_timeouts(ServingOptions(rest_timeout_seconds=45)) == {"45"}
    assert rest_timeouts(ServingOptions(batch_seconds=0.001)) == {"30"}
    # Four batches of 2.5 s, three times over.
    assert rest_timeouts(ServingOptions(), warmup=MEASURED) == {"30"}
    assert rest_timeouts(ServingOptions(latency_goal_seconds=50), warmup=MEASURED) == {"150"}


def test_every_client_has_a_thread() -> None:
    """With fewer, gRPC calls are refused with RESOURCE_EXHAUSTED, and REST requests cannot fill a batch."""
    for options, threads in ((ServingOptions(), 80), (ServingOptions(concurrent_clients=200), 216)):
        words = docker_words(render([manifest()], options)["run-gpu.sh"])
        assert {f"--grpc_max_threads={threads}", f"--rest_api_num_threads={threads}"} <= set(words)
    words = docker_words(render([manifest()], ServingOptions(batching=False))["run-gpu.sh"])
    assert not any("_threads=" in word for word in words)


def test_batching_needs_row_errors_as_data() -> None:
    raising = manifest(options={"row_errors": "raise"})
    with pytest.raises(OptionError, match="one bad row would fail every client"):
        render([raising])
    files = render([raising], ServingOptions(batching=False))
    assert "batching.config" not in files
    assert "batching" not in files["run-gpu.sh"]
    assert render_model_files(raising, ServingOptions(batching=False)) == {}
