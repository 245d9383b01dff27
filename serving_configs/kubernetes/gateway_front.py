"""``genserve gateway`` in front of the server: a Deployment and a Service of its own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from exporter.errors import OptionError
from exporter.manifest import MANIFEST_PATH, Manifest
from serving_configs.kubernetes import networking, pods, scraping, workloads
from serving_configs.kubernetes.app import App, cores
from serving_configs.kubernetes_options import GatewayOptions

COMPONENT = "gateway"
_KEYS = "/etc/genserve-keys"
_DIRECTORY = "/etc/genserve-manifests"
#: What a ConfigMap may hold, less its own words.
_CONFIG_MAP_BYTES = 1_000_000


def manifest_files(manifests: Sequence[Manifest]) -> dict[str, str]:
    """``manifest-NUMBER.json`` -> the manifest, without what the gateway does not ask for: it must be small.

    Raises:
      OptionError: more than a ConfigMap holds.
    """
    files = {_key(number): _without_bulk(manifest) for number, manifest in enumerate(manifests)}
    size = sum(len(text.encode()) for text in files.values())
    if size > _CONFIG_MAP_BYTES:
        raise OptionError(
            f"kubernetes.gateway: the manifests of {len(files)} versions take {size:,} bytes, a ConfigMap "
            f"holds {_CONFIG_MAP_BYTES:,}: prune versions (genserve prune)"
        )
    return files


def _without_bulk(manifest: Manifest) -> str:
    bulk = {"golden", "files", "sources"}
    facts = manifest.model_dump(mode="json", exclude=bulk, exclude_defaults=True)
    return json.dumps({"format": manifest.format, **facts}, ensure_ascii=False) + "\n"


def _key(number: int) -> str:
    return f"manifest-{number}.json"


def objects(app: App, chosen: GatewayOptions) -> dict[str, dict[str, Any]]:
    """File name -> object.

    Raises:
      OptionError: the server asks for TLS.
    """
    if app.options.ssl:
        raise OptionError(
            "kubernetes.gateway with ssl: the gateway speaks plaintext to the server, which a NetworkPolicy "
            "guards; leave out one of them"
        )
    monitor = {"gateway-servicemonitor.yaml": scraping.gateway_monitor(app)} if app.chosen.monitoring else {}
    return {
        **monitor,
        "gateway-deployment.yaml": _deployment(app, chosen),
        "gateway-service.yaml": networking.gateway_service(app),
        "gateway-networkpolicy.yaml": networking.gateway_policy(app, chosen.port),
        "gateway-poddisruptionbudget.yaml": workloads.disruption_budget(app, COMPONENT),
    }


def container(app: App, chosen: GatewayOptions, backend: str, manifests: str) -> dict[str, Any]:
    """The gateway's container.

    Args:
      backend: the server's address.
      manifests: where the container finds the versions' manifests, as in an export directory.
    """
    arguments = [
        *(f"--backend={backend}", f"--manifest={manifests}", "--host=0.0.0.0", f"--port={chosen.port}"),
        *(f"--timeout={chosen.timeout_seconds}", f"--drain={pods.LEAVING_SECONDS}"),
    ]
    mounts: list[dict[str, Any]] = [pods.SCRATCH_MOUNT]
    if chosen.keys_secret:
        arguments.append(f"--keys={_KEYS}/keys")
        mounts.append({"name": "keys", "mountPath": _KEYS, "readOnly": True})
    period = {"periodSeconds": pods.PERIOD_SECONDS}
    return {
        "name": COMPONENT,
        "image": app.chosen.genserve_image,
        "command": ["genserve", "gateway"],
        "args": arguments,
        "ports": [{"name": "http", "containerPort": chosen.port}],
        "resources": {
            "requests": {"cpu": cores(chosen.cpu), "memory": f"{chosen.memory_mib}Mi"},
            "limits": {"memory": f"{chosen.memory_mib}Mi"},
        },
        # Not ready without a server, and while it ends; a server that is away is no reason to start anew.
        "readinessProbe": {"httpGet": {"path": "/health", "port": chosen.port}, **period},
        "livenessProbe": {"tcpSocket": {"port": chosen.port}, **period, "failureThreshold": 6},
        "volumeMounts": mounts,
        "securityContext": pods.CONTAINER_SECURITY,
    }


def keys_volumes(chosen: GatewayOptions) -> list[dict[str, Any]]:
    return [{"name": "keys", "secret": {"secretName": chosen.keys_secret}}] if chosen.keys_secret else []


def _deployment(app: App, chosen: GatewayOptions) -> dict[str, Any]:
    backend = f"grpc://{app.suffixed('grpc')}:{app.options.grpc_port}"
    manifests = {"name": "manifests", "mountPath": _DIRECTORY, "readOnly": True}
    served = container(app, chosen, backend, _DIRECTORY)
    served["volumeMounts"] = [*served["volumeMounts"], manifests]
    items = [
        {"key": _key(number), "path": f"{manifest.name}/{manifest.version}/{MANIFEST_PATH}"}
        for number, manifest in enumerate(app.manifests)
    ]
    config = {"name": app.suffixed("manifests"), "items": items}
    spec = workloads.pod_spec(app, [served], component=COMPONENT) | {
        "volumes": [pods.SCRATCH, {"name": "manifests", "configMap": config}, *keys_volumes(chosen)],
        "terminationGracePeriodSeconds": pods.LEAVING_SECONDS + chosen.timeout_seconds + pods.SPARE_SECONDS,
    }
    return app.object(
        "apps/v1",
        "Deployment",
        COMPONENT,
        component=COMPONENT,
        spec={
            "replicas": chosen.replicas,
            "selector": {"matchLabels": app.selector(COMPONENT)},
            "template": {"metadata": {"labels": app.labels(COMPONENT)}, "spec": spec},
        },
    )
