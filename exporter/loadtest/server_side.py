"""What a server's own metrics say of a load: the page after it, less the page before."""

from __future__ import annotations

from collections.abc import Mapping

from exporter.client.metrics_page import Page
from exporter.loadtest.load_report import ServerSide

_SERVING, _BATCHING, _GATEWAY = (
    ":tensorflow:serving:",
    ":tensorflow:serving:batching_session:",
    "genserve_gateway_",
)


class Pages:
    """Two pages of the same server, of one model where the metric tells models apart."""

    def __init__(self, url: str, model: str, before: str, after: str) -> None:
        self._url, self._model = url, model
        self._before, self._after = Page(before), Page(after)

    def difference(self) -> ServerSide | None:
        """None of a page with neither TensorFlow Serving's metrics nor a gateway's."""
        if self._after.of(f"{_GATEWAY}requests_inside"):
            return self._of_gateway()
        if self._after.of(f"{_SERVING}request_count"):
            return self._of_serving()
        return None

    def _of_serving(self) -> ServerSide:
        """Queueing is of a batch's tasks; the rest of a request is computing, its strings included."""
        model = {"model_name": self._model}
        request = self._mean(f"{_SERVING}request_latency", API="Predict", **model)
        queueing = self._mean(f"{_BATCHING}queuing_latency")
        batches = self._added(f"{_BATCHING}processed_batch_size_count")
        both = request is not None and queueing is not None
        return ServerSide(
            url=self._url,
            kind="tensorflow_serving",
            statuses=self._statuses(f"{_SERVING}request_count", model),
            request_seconds=_seconds(request),
            queueing_seconds=_seconds(queueing),
            computing_seconds=_seconds(max(0.0, request - queueing)) if both else None,  # type: ignore[operator]
            batches=int(batches) if batches else None,
            rows_per_batch=self._mean(f"{_BATCHING}processed_batch_size"),
            padding_per_batch=self._mean(f"{_BATCHING}padding_size"),
        )

    def _of_gateway(self) -> ServerSide:
        model = {"model": self._model.partition("@")[0]}  # NAME@VERSION counts for NAME
        counts = {
            kind: self._added(f"{_GATEWAY}tokens_total", kind=kind, **model)
            for kind in ("prompt", "completion")
        }
        return ServerSide(
            url=self._url,
            kind="gateway",
            statuses=self._statuses(f"{_GATEWAY}requests_total", model),
            request_seconds=self._mean(f"{_GATEWAY}request_seconds", **model),
            first_piece_seconds=self._mean(f"{_GATEWAY}first_piece_seconds", **model),
            prompt_tokens=_whole(counts["prompt"]),
            generated_tokens=_whole(counts["completion"]),
        )

    def _added(self, name: str, **labels: str) -> float | None:
        """How much a counter grew; None: the page has none."""
        after = self._after.total(name, **labels)
        return None if after is None else after - (self._before.total(name, **labels) or 0.0)

    def _mean(self, name: str, **labels: str) -> float | None:
        """Of what a histogram saw between the pages."""
        count, total = (self._added(f"{name}_{part}", **labels) for part in ("count", "sum"))
        return total / count if count and total is not None else None

    def _statuses(self, name: str, labels: Mapping[str, str]) -> dict[str, int]:
        names = {sample.labels.get("status", "") for sample in self._after.of(name)}
        grown = {status: self._added(name, status=status, **labels) for status in sorted(names)}
        return {status: int(count) for status, count in grown.items() if count}


def _seconds(micros: float | None) -> float | None:
    return None if micros is None else micros / 1e6


def _whole(count: float | None) -> int | None:
    return None if count is None else int(count)
