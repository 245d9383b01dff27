"""Services, and who may call whom."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from serving_configs.kubernetes.app import App

_DNS = {
    "to": [{"namespaceSelector": {}, "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}],
    "ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}],
}


def service(app: App) -> dict[str, Any]:
    """REST and gRPC under one address: a connection goes to one pod, and stays there."""
    ports = [
        {"name": "rest", "port": app.options.rest_port, "targetPort": "rest", "appProtocol": "http"},
        _grpc_port(app),
    ]
    return app.object("v1", "Service", spec={"selector": app.selector(), "ports": ports})


def headless_service(app: App) -> dict[str, Any]:
    """gRPC by the pods' own addresses: ``dns:///NAME-grpc:PORT`` with ``round_robin`` spreads the calls."""
    spec = {"clusterIP": "None", "selector": app.selector(), "ports": [_grpc_port(app)]}
    return app.object("v1", "Service", "grpc", spec=spec)


def _grpc_port(app: App) -> dict[str, Any]:
    protocol = {} if app.options.ssl else {"appProtocol": "kubernetes.io/h2c"}
    return {"name": "grpc", "port": app.options.grpc_port, "targetPort": "grpc", **protocol}


def gateway_service(app: App) -> dict[str, Any]:
    ports = [{"name": "http", "port": 80, "targetPort": "http", "appProtocol": "http"}]
    spec = {"selector": app.selector("gateway"), "ports": ports}
    return app.object("v1", "Service", "gateway", component="gateway", spec=spec)


def server_policy(app: App) -> dict[str, Any]:
    """The server has no authentication: the gateway may call it where there is one, else its namespace.

    Prometheus reaches the REST port from its namespace; a pod calls nobody, unless it pulls its models.
    """
    clients = {"matchLabels": app.selector("gateway")} if app.chosen.gateway else {}
    ports = _ports(app.options.rest_port, app.options.grpc_port)
    ingress = [
        {"from": [{"podSelector": clients}], "ports": ports},
        *_prometheus(app, app.options.rest_port),
    ]
    if app.chosen.export and app.chosen.gateway:
        ingress.append({"from": [{"podSelector": {"matchLabels": app.selector("export")}}], "ports": ports})
    return _policy(app, "server", ingress, _outside(app) if app.source == "store" else [])


def gateway_policy(app: App, port: int) -> dict[str, Any]:
    """Everybody may call the gateway, and it calls the server."""
    return _policy(app, "gateway", [{"ports": _ports(port)}], [_DNS, _to_server(app)])


def export_policy(app: App) -> dict[str, Any]:
    """Nobody calls an export; it calls the hub, the store, and a server that follows promotions."""
    return _policy(app, "export", [], [*_outside(app), _to_server(app)])


def _to_server(app: App) -> dict[str, Any]:
    ports = _ports(app.options.rest_port, app.options.grpc_port)
    return {"to": [{"podSelector": {"matchLabels": app.selector()}}], "ports": ports}


def _policy(
    app: App, component: str, ingress: list[dict[str, Any]], egress: list[dict[str, Any]]
) -> dict[str, Any]:
    spec = {
        "podSelector": {"matchLabels": app.selector(component)},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": ingress,
        "egress": egress,
    }
    name = "" if component == "server" else component
    return app.object("networking.k8s.io/v1", "NetworkPolicy", name, component=component, spec=spec)


def _prometheus(app: App, port: int) -> Iterable[dict[str, Any]]:
    if not app.chosen.monitoring:
        return []
    namespace = {"kubernetes.io/metadata.name": app.chosen.monitoring_namespace}
    return [{"from": [{"namespaceSelector": {"matchLabels": namespace}}], "ports": _ports(port)}]


def _outside(app: App) -> list[dict[str, Any]]:
    return [_DNS, {"ports": _ports(*app.chosen.egress_ports)}]


def _ports(*numbers: int) -> list[dict[str, Any]]:
    return [{"protocol": "TCP", "port": number} for number in numbers]
