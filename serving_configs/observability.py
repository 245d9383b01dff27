"""Prometheus alert rules and a Grafana dashboard, on metrics that TensorFlow Serving really has."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import yaml

from exporter.manifest import Manifest
from serving_configs.serving_options import ServingOptions
from serving_configs.text import GENERATED

_P = ":tensorflow:serving:"
REQUESTS = _P + "request_count"
LATENCY = _P + "request_latency"
QUEUING = _P + "batching_session:queuing_latency"
PROCESSED = _P + "batching_session:processed_batch_size"
PADDING = _P + "batching_session:padding_size"
LOADS = ":tensorflow:cc:saved_model:load_attempt_count"
COMPILATIONS = ":tensorflow:core:xla_compilations"
# Every metric that the files below may name; histograms have _bucket, _sum and _count.
METRICS = {
    REQUESTS: "counter",
    LATENCY: "histogram",
    QUEUING: "histogram",
    PROCESSED: "histogram",
    PADDING: "histogram",
    LOADS: "counter",
    COMPILATIONS: "counter",
}
# Not the server's fault: the client's request was wrong.
_CLIENT_ERRORS = "OK|INVALID_ARGUMENT|NOT_FOUND|FAILED_PRECONDITION|CANCELLED"


def quantile(share: float, metric: str, by: str = "", window: str = "5m") -> str:
    """Microseconds (or sizes) below which ``share`` of the observations lie."""
    labels = ", ".join(["le", *([by] if by else [])])
    return f"histogram_quantile({share}, sum by ({labels}) (rate({metric}_bucket[{window}])))"


def alerts(options: ServingOptions) -> str:
    """A Prometheus rules file."""
    return f"# {GENERATED}\n" + yaml.safe_dump(alert_rules(options), sort_keys=False, width=110)


def alert_rules(options: ServingOptions) -> dict[str, Any]:
    """The groups of a rules file; times come from the latency goal."""
    goal = options.latency_goal_seconds * 1e6
    rules = [
        _rule("ServerDown", 'up{job="genserve"} == 0', "1m", "critical", "the server does not answer"),
        _rule(
            "ErrorRatio",
            f'sum by (model_name) (rate({REQUESTS}{{status!~"{_CLIENT_ERRORS}"}}[5m])) '
            f"/ sum by (model_name) (rate({REQUESTS}[5m])) > 0.01",
            "5m",
            "critical",
            "more than 1 % of the requests to {{ $labels.model_name }} fail",
        ),
        _rule(
            "QueueFull",
            f'sum by (model_name) (rate({REQUESTS}{{status="UNAVAILABLE"}}[5m])) > 0',
            "1m",
            "warning",
            "{{ $labels.model_name }} refuses requests: its queue is full",
        ),
        _rule(
            "LatencyGoalMissed",
            f"{quantile(0.95, LATENCY, 'model_name')} > {goal:.0f}",
            "10m",
            "warning",
            f"p95 of {{{{ $labels.model_name }}}} is above {options.latency_goal_seconds:g} s",
        ),
        _rule(
            "LoadFailed",
            f'increase({LOADS}{{status="fail"}}[10m]) > 0',
            "0m",
            "critical",
            "a model version could not be loaded: {{ $labels.model_path }}",
        ),
        _rule(
            "CompiledAfterReady",
            # A new version compiles too, while it is loaded.
            f"increase({COMPILATIONS}[10m]) > 0 unless on (instance) increase({LOADS}[30m]) > 0",
            "0m",
            "warning",
            "XLA compiled inside a request: a shape is missing in the warmup",
        ),
    ]
    if options.batching:
        rules.append(
            _rule(
                "QueueingTooLong",
                f"{quantile(0.95, QUEUING)} > {goal / 2:.0f}",
                "5m",
                "warning",
                "requests wait for more than half of the latency goal: add servers",
            )
        )
    return {"groups": [{"name": "genserve", "rules": rules}]}


def _rule(name: str, expression: str, duration: str, severity: str, summary: str) -> dict[str, Any]:
    return {
        "alert": f"Genserve{name}",
        "expr": expression,
        "for": duration,
        "labels": {"severity": severity},
        "annotations": {"summary": summary},
    }


def dashboard(manifests: Sequence[Manifest], options: ServingOptions) -> str:
    """A Grafana dashboard (schema version 39), for import or provisioning."""
    rows: list[tuple[str, str, list[tuple[str, str]]]] = [
        (
            "Requests per second",
            "reqps",
            [
                (
                    f"sum by (model_name, status) (rate({REQUESTS}[$__rate_interval]))",
                    "{{model_name}} {{status}}",
                )
            ],
        ),
        (
            "Latency",
            "µs",
            [
                (
                    quantile(share, LATENCY, "model_name", "$__rate_interval"),
                    f"p{share * 100:g} {{{{model_name}}}}",
                )
                for share in (0.5, 0.95, 0.99)
            ],
        ),
        ("Compilations", "short", [(f"increase({COMPILATIONS}[$__rate_interval])", "compilations")]),
        ("Loads", "short", [(f"sum by (model_path, status) ({LOADS})", "{{model_path}} {{status}}")]),
    ]
    if options.batching:
        mean = "rate({0}_sum[$__rate_interval]) / rate({0}_count[$__rate_interval])"
        rows[2:2] = [
            (
                "Queueing",
                "µs",
                [
                    (quantile(share, QUEUING, "", "$__rate_interval"), f"p{share * 100:g}")
                    for share in (0.5, 0.95)
                ],
            ),
            (
                "Rows per batch",
                "short",
                [
                    (mean.format(PROCESSED), "with padding"),
                    (mean.format(PADDING), "padding of {{execution_batch_size}}"),
                ],
            ),
        ]
    document = {
        "title": "genserve: " + ", ".join(dict.fromkeys(manifest.name for manifest in manifests)),
        "uid": "genserve",
        "description": GENERATED,
        "tags": ["genserve", "tensorflow-serving"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [_DATASOURCE]},
        "panels": [_panel(index, *row) for index, row in enumerate(rows)],
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


_DATASOURCE = {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}


def _panel(index: int, title: str, unit: str, targets: list[tuple[str, str]]) -> dict[str, Any]:
    source = {"type": "prometheus", "uid": "${datasource}"}
    return {
        "id": index + 1,
        "title": title,
        "type": "timeseries",
        "datasource": source,
        "gridPos": {"h": 8, "w": 12, "x": 12 * (index % 2), "y": 8 * (index // 2)},
        "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom", "showLegend": True}},
        "targets": [
            {
                "refId": chr(ord("A") + number),
                "datasource": source,
                "expr": expression,
                "legendFormat": legend,
            }
            for number, (expression, legend) in enumerate(targets)
        ],
    }
