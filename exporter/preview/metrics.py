"""Prometheus metrics under TensorFlow Serving's own names, types and buckets.

The names start with a colon and counters have no ``_total``, so the text is written here: client libraries
would change both.
"""

from __future__ import annotations

import bisect
import threading
from dataclasses import dataclass, field

PREFIX = ":tensorflow:serving:"
Labels = tuple[str, ...]


def exponential(scale: float, growth: float, count: int) -> tuple[float, ...]:
    """The upper limits of ``monitoring::Buckets::Exponential``; the last bucket is open."""
    return tuple(scale * growth**power for power in range(count))


@dataclass
class _Counter:
    name: str
    labels: Labels
    values: dict[Labels, int] = field(default_factory=dict)

    def lines(self) -> list[str]:
        return [f"# TYPE {self.name} counter"] + [
            f"{self.name}{{{_join(self.labels, key)}}} {value}" for key, value in sorted(self.values.items())
        ]


@dataclass
class _Histogram:
    name: str
    labels: Labels
    limits: tuple[float, ...]
    values: dict[Labels, tuple[list[int], float]] = field(default_factory=dict)

    def observe(self, key: Labels, value: float) -> None:
        counts, total = self.values.get(key, ([0] * (len(self.limits) + 1), 0.0))
        # A value equal to a limit belongs to the next bucket, as in TensorFlow's histogram.
        counts[bisect.bisect_right(self.limits, value)] += 1
        self.values[key] = (counts, total + value)

    def lines(self) -> list[str]:
        lines = [f"# TYPE {self.name} histogram"]
        for key, (counts, total) in sorted(self.values.items()):
            labels = _join(self.labels, key)
            cumulative = 0
            for limit, count in zip((*self.limits, None), counts, strict=True):
                cumulative += count
                bound = "+Inf" if limit is None else f"{limit:g}"
                lines.append(
                    f'{self.name}_bucket{{{labels}{"," if labels else ""}le="{bound}"}} {cumulative}'
                )
            lines.append(f"{self.name}_sum{{{labels}}} {total:g}")
            lines.append(f"{self.name}_count{{{labels}}} {cumulative}")
        return lines


def _join(names: Labels, values: Labels) -> str:
    def escape(value: str) -> str:
        return value.replace("\\", "\\\\").replace('"', '\\"')

    return ",".join(f'{name}="{escape(value)}"' for name, value in zip(names, values, strict=True))


class Metrics:
    """The metrics that a deployment watches. Safe to call from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        latency = exponential(10, 1.8, 33)
        sizes = exponential(1, 2, 14)
        self._requests = _Counter(PREFIX + "request_count", ("model_name", "status"))
        self._latency = _Histogram(PREFIX + "request_latency", ("model_name", "API", "entrypoint"), latency)
        self._loads = _Counter(":tensorflow:cc:saved_model:load_attempt_count", ("model_path", "status"))
        self._warmups = _Histogram(PREFIX + "model_warmup_latency", ("model_path", "status"), latency)
        batching = PREFIX + "batching_session:"
        self._queuing = _Histogram(
            batching + "queuing_latency", ("thread_pool_name",), exponential(100, 1.2, 52)
        )
        self._input_size = _Histogram(batching + "input_batch_size", (), sizes)
        self._processed_size = _Histogram(batching + "processed_batch_size", (), sizes)
        self._padding = _Histogram(batching + "padding_size", ("execution_batch_size",), sizes)
        self._all: tuple[_Counter | _Histogram, ...] = (
            self._requests,
            self._latency,
            self._loads,
            self._warmups,
            self._queuing,
            self._input_size,
            self._processed_size,
            self._padding,
        )

    def count_request(self, model: str, status: str) -> None:
        with self._lock:
            key = (model, status)
            self._requests.values[key] = self._requests.values.get(key, 0) + 1

    def count_load(self, model_path: str, *, success: bool) -> None:
        with self._lock:
            key = (model_path, "success" if success else "fail")
            self._loads.values[key] = self._loads.values.get(key, 0) + 1

    def observe_warmup(self, model_path: str, micros: float) -> None:
        with self._lock:
            self._warmups.observe((model_path, "OK"), micros)

    def observe_latency(self, model: str, entrypoint: str, micros: float) -> None:
        with self._lock:
            self._latency.observe((model, "Predict", entrypoint), micros)

    def observe_input(self, rows: int) -> None:
        with self._lock:
            self._input_size.observe((), rows)

    def observe_batch(self, pool: str, waits_micros: list[float], rows: int, padding: int) -> None:
        """One executed batch: how long each request waited, its size with padding, and the padding."""
        with self._lock:
            for wait in waits_micros:
                self._queuing.observe((pool,), wait)
            self._processed_size.observe((), rows)
            self._padding.observe((str(rows),), padding)

    def page(self) -> str:
        """The exposition text."""
        with self._lock:
            return "\n".join(line for metric in self._all for line in metric.lines() if metric.values) + "\n"
