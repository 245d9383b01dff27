"""A report as one HTML page that needs nothing else: tables, and charts beside them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

from exporter.loadtest.load_report import LoadReport
from exporter.loadtest.svg import Series, bar_chart, line_chart
from exporter.loadtest.telling import server_rows, spreads, step_latency, tell

_TEMPLATE = Path(__file__).with_name("load_report.html")
#: Bars of the histogram.
_BARS = 40
#: Where a sweep's steps without a latency are drawn, over the highest one.
_ABOVE = 1.2


def page(report: LoadReport) -> str:
    """The page; every text in it is escaped, it holds no script and asks for nothing."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    return template.render(
        report=report,
        spreads=[(name, spread) for name, spread in spreads(report) if spread is not None],
        charts=_charts(report),
        tell=tell,
        step_latency=step_latency,
        server_rows=[(side, server_rows(side)) for side in report.server],
    )


def _charts(report: LoadReport) -> dict[str, str]:
    """SVG by name; those that there is something to draw for."""
    makers = {
        "timeline": _timeline,
        "histogram": _histogram,
        "percentiles": _percentiles,
        "buckets": _buckets,
        "server": _server,
        "sweep": _sweep,
    }
    return {name: drawn for name, make in makers.items() if (drawn := make(report))}


def _unit(values: Sequence[float | None]) -> tuple[float, str]:
    """The factor and name of the unit that values are shown in."""
    largest = max((value for value in values if value is not None), default=0.0)
    return (1e3, "ms") if largest < 2 else (1.0, "s")


def _shown(values: Sequence[float | None], factor: float) -> list[float | None]:
    return [None if value is None else value * factor for value in values]


def _timeline(report: LoadReport) -> str:
    slices = report.timeline
    if not any(one.max is not None for one in slices):
        return ""
    factor, unit = _unit([one.max for one in slices])
    named = {name: [getattr(one, name) for one in slices] for name in ("p50", "p95", "max")}
    return line_chart(
        "Latency over time",
        [(one.begin + one.end) / 2 for one in slices],
        [Series(name, _shown(values, factor)) for name, values in named.items()],
        x_label="seconds from the start, when requests were scheduled",
        y_label=f"latency, {unit}",
        tell=lambda value: f"{value:.4g} {unit}",
    )


def _percentiles(report: LoadReport) -> str:
    values = report.latency_percentiles
    if not values:
        return ""
    factor, unit = _unit(values)
    return line_chart(
        "Latency by percentile",
        list(range(len(values))),
        [Series("latency", _shown(values, factor))],
        x_label="of 100 requests so many were answered within",
        y_label=f"latency, {unit}",
        tell=lambda value: f"{value:.4g} {unit}",
    )


def _histogram(report: LoadReport) -> str:
    """Of the percentiles: each stands for one in a hundred requests."""
    values = report.latency_percentiles
    if not values or values[0] == values[-1]:
        return ""
    factor, unit = _unit(values)
    width = (values[-1] - values[0]) / _BARS
    counts = [0.0] * _BARS
    for below, above in itertools.pairwise(values):
        counts[min(_BARS - 1, int(((below + above) / 2 - values[0]) / width))] += 1
    names = [f"{(values[0] + (n + 0.5) * width) * factor:.3g}" for n in range(_BARS)]
    return bar_chart(
        "Distribution of latencies",
        names,
        [Series("share", counts)],
        x_label=f"latency, {unit}",
        y_label="% of requests",
        tell=lambda value: f"{value:.0f} %",
    )


def _buckets(report: LoadReport) -> str:
    figures = report.buckets
    if not figures:
        return ""
    factor, unit = _unit([one.latency.p95 for one in figures])
    return bar_chart(
        "Latency by prompt bucket",
        ["unknown" if one.bucket is None else str(one.bucket) for one in figures],
        [
            Series("p50", [one.latency.p50 * factor for one in figures]),
            Series("p95", [one.latency.p95 * factor for one in figures]),
        ],
        x_label="bucket, tokens",
        y_label=f"latency, {unit}",
        tell=lambda value: f"{value:.4g} {unit}",
    )


def _server(report: LoadReport) -> str:
    side = next((one for one in report.server if one.queueing_seconds is not None), None)
    if side is None or report.latency is None:
        return ""
    outside = max(0.0, report.latency.mean - (side.request_seconds or 0.0))
    parts = {"waiting for a batch": side.queueing_seconds, "computing": side.computing_seconds}
    named = {**parts, "outside the server": outside}
    factor, unit = _unit(list(named.values()))
    return bar_chart(
        "Where a mean latency goes",
        list(named),
        [Series("seconds", _shown(list(named.values()), factor))],
        x_label="",
        y_label=f"mean, {unit}",
        tell=lambda value: f"{value:.4g} {unit}",
    )


def _sweep(report: LoadReport) -> str:
    """A step that ended early has no latency: it is drawn above all others."""
    sweep = report.sweep
    if sweep is None or not sweep.steps:
        return ""
    steps = sorted(sweep.steps, key=lambda step: step.rate)
    top = _ABOVE * max([sweep.goal, *(step.latency or 0.0 for step in steps)])
    factor, unit = _unit([top])
    named = {
        "within the goal": [step.latency if step.within_goal else None for step in steps],
        "beyond it": [None if step.within_goal else step.latency for step in steps],
        "ended early": [top if step.latency is None else None for step in steps],
    }
    return line_chart(
        f"Latency at the {sweep.percentile:g}th percentile by rate",
        [step.rate for step in steps],
        [Series(name, _shown(values, factor), dots=True) for name, values in named.items()],
        x_label="requests a second",
        y_label=f"latency, {unit}",
        goal=sweep.goal * factor,
        logarithmic=True,
        tell=lambda value: "too many were late" if value >= top * factor else f"{value:.4g} {unit}",
    )
