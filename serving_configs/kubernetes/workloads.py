"""The server's Deployment, its account, and how many of its pods may be away at once."""

from __future__ import annotations

from typing import Any

from serving_configs.compose import start_seconds
from serving_configs.kubernetes import pods
from serving_configs.kubernetes.app import App


def deployment(app: App) -> dict[str, Any]:
    """Without flags, variables and resources of one device: the overlays add them."""
    ports = [
        {"name": "rest", "containerPort": app.options.rest_port},
        {"name": "grpc", "containerPort": app.options.grpc_port},
    ]
    spec: dict[str, Any] = {
        "selector": {"matchLabels": app.selector()},
        "strategy": strategy(app),
        # Beside loading and warming up: scheduling, images, and the models' way into the pod.
        "progressDeadlineSeconds": 600 + 2 * start_seconds(app.manifests),
        "template": {
            "metadata": {"labels": app.labels()},
            "spec": pod_spec(app, [pods.server(app, ports)], component="server")
            | pods.init_containers(app)
            | {"volumes": pods.volumes(app)}
            | {"terminationGracePeriodSeconds": pods.termination_seconds(app)},
        },
    }
    if app.chosen.autoscaler == "none":
        spec = {"replicas": app.chosen.replicas, **spec}
    return app.object("apps/v1", "Deployment", spec=spec)


def strategy(app: App) -> dict[str, Any]:
    """One new pod first, or where there is no room for it, one old pod away first."""
    surge = app.chosen.max_surge
    rolling = {"maxSurge": surge, "maxUnavailable": 0 if surge else 1}
    return {"type": "RollingUpdate", "rollingUpdate": rolling}


def pod_spec(app: App, containers: list[dict[str, Any]], *, component: str) -> dict[str, Any]:
    """What pods of every component have: no token of the cluster, no root, spread over nodes."""
    return {
        "serviceAccountName": app.name,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        # Its init process passes signals on: the server as the first one would not hear that it shall end.
        "shareProcessNamespace": True,
        "securityContext": pods.POD_SECURITY,
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": app.selector(component)},
            }
        ],
        "containers": containers,
    }


def service_account(app: App) -> dict[str, Any]:
    return app.object(
        "v1",
        "ServiceAccount",
        annotations=app.chosen.service_account_annotations,
        automountServiceAccountToken=False,
    )


def disruption_budget(app: App, component: str = "server") -> dict[str, Any]:
    """One pod at a time leaves a node that is drained, however many there are."""
    return app.object(
        "policy/v1",
        "PodDisruptionBudget",
        "" if component == "server" else component,
        component=component,
        spec={"maxUnavailable": 1, "selector": {"matchLabels": app.selector(component)}},
    )
