"""Findings from a server's metrics: pages as the genuine server spells them, and the preview server's own."""

from __future__ import annotations

import pytest

from exporter.client import RequestError
from exporter.client.metrics_page import Page
from exporter.doctor.findings import Finding
from exporter.doctor.live_metrics import limit_findings, metrics_findings
from exporter.doctor.live_server import metrics_page
from exporter.errors import ServingError
from exporter.manifest import Manifest, MeasuredInfo, ProgramInfo, SignatureInfo, TensorInfo
from tests.serving_configs.manifests import manifest

#: Of a server with batching that has loaded version 1 of stories: 6 compilations, 3 batch sizes.
GOOD = """\
# TYPE :tensorflow:cc:saved_model:load_attempt_count counter
:tensorflow:cc:saved_model:load_attempt_count{model_path="/models/stories/1",status="success"} 1
# TYPE :tensorflow:core:xla_compilations counter
:tensorflow:core:xla_compilations{} 6
# TYPE :tensorflow:core:xla_compilation_time_usecs counter
:tensorflow:core:xla_compilation_time_usecs{} 12000000
# TYPE :tensorflow:serving:model_warmup_latency histogram
:tensorflow:serving:model_warmup_latency_bucket{model_path="/models/stories/1",status="OK",le="10"} 0
:tensorflow:serving:model_warmup_latency_bucket{model_path="/models/stories/1",status="OK",le="+Inf"} 1
:tensorflow:serving:model_warmup_latency_sum{model_path="/models/stories/1",status="OK"} 1.25e+07
:tensorflow:serving:model_warmup_latency_count{model_path="/models/stories/1",status="OK"} 1
:tensorflow:serving:batching_session:queuing_latency_count{thread_pool_name="batches"} 12
:tensorflow:serving:batching_session:padding_size_count{execution_batch_size="4"} 3
:tensorflow:serving:batching_session:padding_size_count{execution_batch_size="8"} 9
:tensorflow:serving:request_count{model_name="stories",status="OK"} 12
:tensorflow:serving:request_latency_bucket{model_name="stories",API="Predict",entrypoint="REST",le="1e+06"} 12
:tensorflow:serving:request_latency_bucket{model_name="stories",API="Predict",entrypoint="REST",le="+Inf"} 12
"""
VERSION = manifest(
    programs=(ProgramInfo(kind="generation", signatures=("serving_default",), compilations=6),),
    measured=MeasuredInfo(load_seconds=1, compile_seconds=4, answer_seconds=0.1, peak_memory_bytes=1),
)


def problems(page: str, *manifests: Manifest) -> set[str]:
    return ids(metrics_findings(lambda: page, manifests or (VERSION,)))


def ids(findings: list[Finding], *severities: str) -> set[str]:
    assert all(finding.mend for finding in findings if finding.severity in ("warning", "error"))
    return {finding.id for finding in findings if finding.severity in (severities or ("warning", "error"))}


def test_a_good_server() -> None:
    found = metrics_findings(lambda: GOOD, (VERSION,))
    assert {finding.id for finding in found} == {"warmed-up", "compilations", "batching"}
    assert {finding.severity for finding in found} == {"good"}
    assert found[1].what == "XLA compiled 6 times, in 12.0 s; its versions need 6"


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("xla_compilations{} 6", "xla_compilations{} 7", "compiled-more"),
        ('size="4"} 3', 'size="16"} 3', "batch-sizes"),
        ("model_warmup_latency_", "other_", "warmup-not-run"),
        ('status="OK"} 12', 'status="UNAVAILABLE"} 12', "failed-requests"),
        ('status="success"} 1', 'status="fail"} 1', "load-failed"),
        ('le="1e+06"} 12', 'le="3e+07"} 11', "slow-requests"),
    ],
)
def test_what_metrics_tell(old: str, new: str, found: str) -> None:
    assert old in GOOD
    assert problems(GOOD.replace(old, new)) == {found}


def test_a_second_load_compiles_as_much_again() -> None:
    twice = GOOD.replace('status="success"} 1', 'status="success"} 2')
    assert problems(twice.replace("xla_compilations{} 6", "xla_compilations{} 12")) == set()
    # Without the version's manifest nothing is known of how many there should be.
    assert (
        problems(GOOD.replace("xla_compilations{} 6", "xla_compilations{} 99"), manifest(version=3)) == set()
    )


def test_slow_compilations_are_those_without_a_cache() -> None:
    notes = ids(metrics_findings(lambda: GOOD.replace("12000000", "60000000"), (VERSION,)), "note")
    assert notes == {"cache-unused"}


def test_a_server_without_batching_or_metrics() -> None:
    page = "".join(line for line in GOOD.splitlines(keepends=True) if "batching_session" not in line)
    assert ids(metrics_findings(lambda: page, (VERSION,)), "note") == {"not-batching"}

    def refused() -> str:
        raise RequestError("NOT_FOUND", "Could not find any versions of model")

    (finding,) = metrics_findings(refused, (VERSION,))
    assert (finding.id, finding.severity) == ("no-metrics", "note")
    assert "--monitoring_config_file" in finding.mend
    with pytest.raises(ServingError, match="--url"):
        metrics_page("grpc://localhost:8500", None, None, 1.0)


def test_labels_are_read_with_their_escapes() -> None:
    page = Page('a_count{path="C:\\\\models\\"x,y\\"",le="+Inf"} 3\nb 2.5e+1\n# a_count{} 9\n')
    assert page.by("a_count", "path") == {('C:\\models"x,y"',): 3}
    assert page.total("b") == 25
    assert page.total("c") is None


def test_what_clients_must_be_set_up_for() -> None:
    small = list(limit_findings([VERSION]))
    assert [finding.id for finding in small] == ["client-limits"]
    assert "at most 8 rows" in small[0].what
    tops = TensorInfo(dtype="float32", shape=(None, 4096, 100))
    large = {"serving_default": SignatureInfo(inputs={}, outputs={"top_logprobs": tops})}
    found = list(limit_findings([manifest(signatures=large)]))
    assert f"{8 * 4096 * 100 * 4:,} bytes" in found[1].what
    assert found[1].id == "message-size"
    assert [finding.id for finding in limit_findings([])] == ["no-versions"]
