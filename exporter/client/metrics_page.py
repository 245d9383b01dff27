"""The page of metrics that a server shows to Prometheus, as samples (Prometheus' text format 0.0.4)."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from exporter.client.address import Model
from exporter.client.connect import Server

_NUMBER = r"[-+]?(?:\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+|Inf|NaN)"
_LINE = re.compile(rf"([^\s{{#]+)(?:\{{(.*)\}})?\s+({_NUMBER})(?:\s|$)")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_ESCAPED = re.compile(r"\\(.)")


class Sample(NamedTuple):
    """One line: ``name{label="value",...} number``."""

    name: str
    labels: dict[str, str]
    value: float


class Page:
    """The samples of a page; names are TensorFlow's with colons for slashes. Other lines are passed over."""

    def __init__(self, text: str) -> None:
        found = (_LINE.match(line) for line in text.splitlines())
        self._samples = [
            Sample(match[1], _labels(match[2] or ""), float(match[3])) for match in found if match
        ]

    def of(self, name: str) -> list[Sample]:
        """Those of a counter, or of a histogram's ``_count``, ``_sum`` or ``_bucket``."""
        return [sample for sample in self._samples if sample.name == name]

    def total(self, name: str, **labels: str) -> float | None:
        """The sum of those with these labels; None where there is none."""
        values = [sample.value for sample in self.of(name) if labels.items() <= sample.labels.items()]
        return sum(values) if values else None

    def by(self, name: str, *labels: str) -> Counter[tuple[str, ...]]:
        """Sums by the values of labels; zeros are left out."""
        counted: Counter[tuple[str, ...]] = Counter()
        for sample in self.of(name):
            if sample.value:
                counted[tuple(sample.labels.get(label, "") for label in labels)] += int(sample.value)
        return counted

    def slowest(self, name: str, **labels: str) -> float:
        """The lower limit of the last bucket of a histogram that something fell into; 0 without any."""
        counts = {
            float(sample.labels["le"]): sample.value
            for sample in self.of(f"{name}_bucket")
            if labels.items() <= sample.labels.items()
        }
        lower, before, found = 0.0, 0.0, 0.0
        for limit in sorted(counts):
            found = lower if counts[limit] > before else found
            lower, before = limit, counts[limit]
        return found


def fetch(url: str, token: str | None, ca: Path | None, timeout: float) -> str:
    """A page's text; raises RequestError where the server shows none."""
    connection = Server(url, Model("metrics"), token, ca).connection()
    try:
        return str(connection.page(url, timeout))
    finally:
        connection.close()


def _labels(text: str) -> dict[str, str]:
    return {name: _ESCAPED.sub(r"\1", value) for name, value in _LABEL.findall(text)}
