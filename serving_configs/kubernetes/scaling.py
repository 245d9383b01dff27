"""How many pods: by how long requests wait in the queue, then by how busy the device is.

A HorizontalPodAutoscaler takes its metric from prometheus-adapter, whose rule is rendered beside it; KEDA's
ScaledObject asks Prometheus itself. Both scale up when the p95 of the wait is above a quarter of the latency
goal, and no faster than pods can warm up.
"""

from __future__ import annotations

from typing import Any

from exporter.choices import Device
from serving_configs.compose import start_seconds
from serving_configs.kubernetes.app import App
from serving_configs.observability import LATENCY, QUEUING

#: Of the latency goal: the alert ``QueueingTooLong`` says half.
QUEUE_SHARE = 0.25
#: Where the server merges no requests there is no queue: of the goal for whole requests.
LATENCY_SHARE = 0.5
WAIT_METRIC = "genserve_wait_seconds"
GPU_METRIC = "genserve_gpu_utilization"
GPU_SERIES = "DCGM_FI_DEV_GPU_UTIL"
_SHARE, _WINDOW = 0.95, "2m"
#: What the API takes at most.
_LONGEST_PERIOD, _LONGEST_WINDOW, _SHORTEST_WINDOW = 1800, 3600, 300


def target_seconds(app: App) -> float:
    share = QUEUE_SHARE if app.options.batching else LATENCY_SHARE
    return share * app.options.latency_goal_seconds


def _series(app: App) -> str:
    return QUEUING if app.options.batching else LATENCY


def _wait(app: App, matchers: str, by: str) -> str:
    """Seconds that all but the slowest twentieth wait; 0, not NaN, where there are no requests."""
    bucket, count = f"{_series(app)}_bucket{{{matchers}}}", f"{_series(app)}_count{{{matchers}}}"
    labels = f" by ({by})" if by else ""
    quantile = (
        f"histogram_quantile({_SHARE}, sum by (le{', ' if by else ''}{by}) (rate({bucket}[{_WINDOW}])))"
    )
    return f"({quantile} >= 0 or 0 * sum{labels} (rate({count}[{_WINDOW}]))) / 1e6"


def adapter_values(app: App) -> dict[str, Any]:
    """Values for prometheus-adapter's chart: the metrics that the autoscaler asks for, by pod."""
    rules = [_rule(f"{_series(app)}_bucket", WAIT_METRIC, _wait(app, "<<.LabelMatchers>>", "<<.GroupBy>>"))]
    if app.chosen.utilization_percent is not None:
        query = f"avg by (<<.GroupBy>>) ({GPU_SERIES}{{<<.LabelMatchers>>}})"
        rules.append(_rule(GPU_SERIES, GPU_METRIC, query))
    return {"rules": {"custom": rules}}


def _rule(series: str, name: str, query: str) -> dict[str, Any]:
    resources = {label: {"resource": label} for label in ("namespace", "pod")}
    return {
        "seriesQuery": f'{series}{{namespace!="",pod!=""}}',
        "resources": {"overrides": resources},
        "name": {"matches": f"^{series}$", "as": name},
        "metricsQuery": query,
    }


def autoscaler(app: App, deployment: str) -> dict[str, Any]:
    """The object that ``chosen.autoscaler`` names ("none" has none)."""
    return _scaled_object(app, deployment) if app.chosen.autoscaler == "keda" else _hpa(app, deployment)


def _hpa(app: App, deployment: str) -> dict[str, Any]:
    spec = {
        "scaleTargetRef": _target(deployment),
        "minReplicas": app.chosen.replicas,
        "maxReplicas": app.chosen.max_replicas,
        "metrics": [_pods_metric(WAIT_METRIC, f"{round(target_seconds(app) * 1000)}m")],
        "behavior": behavior(app),
    }
    return app.object("autoscaling/v2", "HorizontalPodAutoscaler", spec=spec)


def _scaled_object(app: App, deployment: str) -> dict[str, Any]:
    spec = {
        "scaleTargetRef": _target(deployment),
        "minReplicaCount": app.chosen.replicas,
        "maxReplicaCount": app.chosen.max_replicas,
        "advanced": {"horizontalPodAutoscalerConfig": {"behavior": behavior(app)}},
        "triggers": [_trigger(app, "wait", _wait(app, _matchers(app, deployment), ""), target_seconds(app))],
    }
    return app.object("keda.sh/v1alpha1", "ScaledObject", spec=spec)


def _target(deployment: str) -> dict[str, str]:
    return {"apiVersion": "apps/v1", "kind": "Deployment", "name": deployment}


def behavior(app: App) -> dict[str, Any]:
    """At most twice as many pods in the time that new ones need; fewer after a calm time of that length."""
    start = start_seconds(app.manifests)
    doubling = {"type": "Percent", "value": 100, "periodSeconds": min(_LONGEST_PERIOD, start)}
    one_by_one = {"type": "Pods", "value": 1, "periodSeconds": 60}
    window = min(_LONGEST_WINDOW, max(_SHORTEST_WINDOW, start))
    return {
        "scaleUp": {"policies": [doubling]},
        "scaleDown": {"stabilizationWindowSeconds": window, "policies": [one_by_one]},
    }


def utilization_patch(app: App, device: Device, deployment: str) -> list[dict[str, Any]]:
    """The second metric, of one device: operations on the autoscaler."""
    percent = app.chosen.utilization_percent
    if percent is None:
        return []
    keda = app.chosen.autoscaler == "keda"
    metric = _utilization_trigger(app, device, deployment, percent) if keda else _utilization(device, percent)
    return [{"op": "add", "path": f"/spec/{'triggers' if keda else 'metrics'}/-", "value": metric}]


def _utilization(device: Device, percent: int) -> dict[str, Any]:
    if device == "gpu":
        return _pods_metric(GPU_METRIC, str(percent))
    resource = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": percent}}
    return {"type": "Resource", "resource": resource}


def _utilization_trigger(app: App, device: Device, deployment: str, percent: int) -> dict[str, Any]:
    if device == "gpu":
        query = f"avg({GPU_SERIES}{{{_matchers(app, deployment)}}})"
        return _trigger(app, "gpu", query, percent)
    return {"type": "cpu", "metricType": "Utilization", "metadata": {"value": str(percent)}}


def _pods_metric(name: str, average: str) -> dict[str, Any]:
    target = {"type": "AverageValue", "averageValue": average}
    return {"type": "Pods", "pods": {"metric": {"name": name}, "target": target}}


def _trigger(app: App, name: str, query: str, threshold: float) -> dict[str, Any]:
    """Compared as a value, not divided by the pods: a wait of all of them is what each request meets."""
    metadata = {
        "serverAddress": app.chosen.prometheus_url,
        "query": query,
        "threshold": f"{threshold:g}",
    }
    return {"type": "prometheus", "name": name, "metricType": "Value", "metadata": metadata}


def _matchers(app: App, deployment: str) -> str:
    namespace = f'namespace="{app.chosen.namespace}", ' if app.chosen.namespace else ""
    return f'{namespace}pod=~"{deployment}-.*"'
