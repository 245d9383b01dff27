"""Objects of the Prometheus operator: what to scrape, and the alerts."""

from __future__ import annotations

from typing import Any

from serving_configs.kubernetes.app import App
from serving_configs.observability import alert_rules
from serving_configs.server_files import METRICS_PATH

_API = "monitoring.coreos.com/v1"
#: The label whose value becomes Prometheus' job: the alerts ask for it.
_JOB_LABEL = "app.kubernetes.io/part-of"
_ENDPOINT = {"port": "rest", "path": METRICS_PATH, "interval": "15s"}


def service_monitor(app: App) -> dict[str, Any]:
    return _service_monitor(app, "server", _ENDPOINT)


def gateway_monitor(app: App) -> dict[str, Any]:
    return _service_monitor(app, "gateway", _ENDPOINT | {"port": "http", "path": "/metrics"})


def _service_monitor(app: App, component: str, endpoint: dict[str, str]) -> dict[str, Any]:
    selector = {"matchLabels": app.selector(component)}
    return app.object(
        _API,
        "ServiceMonitor",
        "" if component == "server" else component,
        component=component,
        labels=app.chosen.monitoring_labels,
        spec={"jobLabel": _JOB_LABEL, "selector": selector, "endpoints": [endpoint]},
    )


def pod_monitor(app: App, labels: dict[str, str], port: str) -> dict[str, Any]:
    """For pods behind a Service that is not ours."""
    spec = {
        "jobLabel": _JOB_LABEL,
        "selector": {"matchLabels": labels},
        "podMetricsEndpoints": [_ENDPOINT | {"port": port}],
    }
    return app.object(_API, "PodMonitor", labels=app.chosen.monitoring_labels, spec=spec)


def alerts(app: App) -> dict[str, Any]:
    """The same rules as prometheus-rules.yaml."""
    rules = alert_rules(app.options)
    return app.object(_API, "PrometheusRule", labels=app.chosen.monitoring_labels, spec=rules)
