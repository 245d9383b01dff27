"""Differences of pages, as the servers spell them."""

from __future__ import annotations

import pytest

from exporter.client.metrics_page import Page
from exporter.gateway.admission import Admission
from exporter.gateway.metrics import Metrics as GatewayMetrics
from exporter.loadtest.server_side import Pages
from exporter.preview.metrics import Metrics

URL = "http://localhost:8501/monitoring/prometheus/metrics"


def observe(
    metrics: Metrics, model: str, *, waits: list[float], seconds: float, rows: int, padding: int
) -> None:
    for wait in waits:
        metrics.count_request(model, "OK")
        metrics.observe_latency(model, "REST", wait + seconds * 1e6)
    metrics.observe_batch("batches", waits, rows, padding)


def test_queueing_and_computing_between_two_pages() -> None:
    metrics = Metrics()
    observe(metrics, "stories", waits=[5e6], seconds=9.0, rows=8, padding=7)
    before = metrics.page()
    observe(metrics, "stories", waits=[10e3, 30e3], seconds=0.05, rows=4, padding=2)
    observe(metrics, "stories", waits=[20e3], seconds=0.05, rows=1, padding=0)
    metrics.count_request("stories", "UNAVAILABLE")
    metrics.count_request("other", "OK")
    metrics.observe_latency("other", "REST", 7e6)
    side = Pages(URL, "stories", before, metrics.page()).difference()
    assert side is not None
    assert (side.kind, side.statuses) == ("tensorflow_serving", {"OK": 3, "UNAVAILABLE": 1})
    assert side.request_seconds == pytest.approx(0.07, rel=1e-4)  # the page has six digits
    assert side.queueing_seconds == pytest.approx(0.02, rel=1e-3)
    assert side.computing_seconds == pytest.approx(0.05, rel=1e-3)
    assert (side.batches, side.rows_per_batch, side.padding_per_batch) == (2, 2.5, 1.0)


def test_without_batching_there_is_no_queue() -> None:
    metrics = Metrics()
    before = metrics.page()
    metrics.count_request("stories", "OK")
    metrics.observe_latency("stories", "gRPC", 2e6)
    side = Pages(URL, "stories", before, metrics.page()).difference()
    assert side is not None
    assert (side.request_seconds, side.queueing_seconds, side.computing_seconds) == (2.0, None, None)
    assert (side.batches, side.statuses) == (None, {"OK": 1})


def test_a_gateway() -> None:
    metrics = GatewayMetrics(Admission(4, 4))
    metrics.answered("/v1/completions", "toy", 200, 9.0)
    metrics.tokens("toy", 5, 5)
    before = metrics.page().decode()
    for seconds in (0.2, 0.4):
        metrics.answered("/v1/completions", "toy", 200, seconds)
        metrics.first_piece("toy", 0.1)
        metrics.tokens("toy", 10, 3)
    metrics.answered("/v1/completions", "toy", 429, 0.0)
    side = Pages(URL, "toy@2", before, metrics.page().decode()).difference()
    assert side is not None
    assert (side.kind, side.statuses) == ("gateway", {"200": 2, "429": 1})
    assert side.request_seconds == pytest.approx(0.2)
    assert side.first_piece_seconds == pytest.approx(0.1)
    assert (side.prompt_tokens, side.generated_tokens) == (20, 6)


def test_a_page_of_something_else() -> None:
    for text in ("python_info{} 1\n", "<html> <body>\n", '{"a": 1}', "a b c"):
        assert Pages(URL, "toy", "", text).difference() is None


def test_numbers_of_pages() -> None:
    page = Page('a 1\na{b="c"} 2.5e+06 1700000000\na{b="}"} -3\nd{le="+Inf"} +Inf\ne .5\n# f 1\n')
    assert page.total("a") == 2.5e6 - 2
    assert page.total("a", b="c") == 2.5e6
    assert page.total("d") == float("inf")
    assert (page.total("e"), page.total("f")) == (0.5, None)
