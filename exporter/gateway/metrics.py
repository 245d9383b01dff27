"""What Prometheus reads at ``/metrics``."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from exporter.gateway.admission import Admission

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)


class Metrics:
    """A gateway's own registry. ``model`` is "" of requests for no known model: clients invent no labels."""

    def __init__(self, admission: Admission) -> None:
        self._registry = CollectorRegistry()
        known = {"namespace": "genserve_gateway", "registry": self._registry}
        self._requests = Counter("requests", "Requests answered.", ["path", "model", "status"], **known)  # type: ignore[arg-type]
        self._seconds = Histogram(
            "request_seconds",
            "Until the whole answer.",
            ["path", "model"],
            buckets=_SECONDS,
            **known,  # type: ignore[arg-type]
        )
        self._first = Histogram(
            "first_piece_seconds",
            "Until a stream's first piece.",
            ["model"],
            buckets=_SECONDS,
            **known,  # type: ignore[arg-type]
        )
        self._tokens = Counter("tokens", "Tokens of prompts and answers.", ["model", "kind"], **known)  # type: ignore[arg-type]
        inside = Gauge("requests_inside", "Requests in work or waiting.", **known)  # type: ignore[arg-type]
        inside.set_function(lambda: admission.inside)
        waiting = Gauge("requests_waiting", "Of those, beyond what is worked on at one time.", **known)  # type: ignore[arg-type]
        waiting.set_function(lambda: admission.waiting)

    def answered(self, path: str, model: str, status: int, seconds: float) -> None:
        self._requests.labels(path, model, str(status)).inc()
        self._seconds.labels(path, model).observe(seconds)

    def first_piece(self, model: str, seconds: float) -> None:
        self._first.labels(model).observe(seconds)

    def tokens(self, model: str, prompt: int, completion: int) -> None:
        self._tokens.labels(model, "prompt").inc(prompt)
        self._tokens.labels(model, "completion").inc(completion)

    def page(self) -> bytes:
        """The exposition text."""
        return generate_latest(self._registry)
