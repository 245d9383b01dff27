"""kustomization.yaml: what belongs together, and what the overlays for a CPU and a GPU add."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from exporter.choices import Device
from serving_configs.kubernetes import pods
from serving_configs.kubernetes.app import App, to_yaml

DEVICES: tuple[Device, ...] = ("cpu", "gpu")
PATCH = "server.yaml"
AUTOSCALER_PATCH = "autoscaler.yaml"
_HEAD: dict[str, Any] = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}
_GENERATED_LABELS = ("app.kubernetes.io/name", "app.kubernetes.io/part-of")


def folder(
    app: App,
    resources: Iterable[str],
    config_maps: Mapping[str, Iterable[str]],
    secrets: Mapping[str, Iterable[str]] | None = None,
    *,
    stable_names: bool = False,
    namespace: str | None = None,
) -> str:
    """Objects, and what is made of files.

    The name of what is made ends in a hash of the content, so that a change starts new pods; with
    ``stable_names`` running ones see it.
    """
    document = _HEAD | {"resources": list(resources)}
    if namespace:
        document["namespace"] = namespace
    document["configMapGenerator"] = _generators(app, config_maps)
    if secrets:
        document["secretGenerator"] = _generators(app, secrets)
    labels = {name: app.labels()[name] for name in _GENERATED_LABELS}
    stable = {"disableNameSuffixHash": True} if stable_names else {}
    document["generatorOptions"] = {"labels": labels} | stable
    return to_yaml(document)


def _generators(app: App, files: Mapping[str, Iterable[str]]) -> list[dict[str, Any]]:
    return [{"name": app.suffixed(name), "files": list(paths)} for name, paths in files.items()]


def overlay(
    app: App,
    device: Device,
    *,
    kind: str,
    pod: str,
    autoscaled: str = "",
    scaling: list[dict[str, Any]] | None = None,
    tolerant: bool = True,
) -> dict[str, str]:
    """Files of the folder for one device.

    Args:
      kind: of the object that has the server's container, the first below ``pod``.
      pod: the path of its pod's fields.
      autoscaled, scaling: kind of the autoscaler, and operations on it.
      tolerant: whether pods may say what taints they tolerate.
    """
    patches = [{"path": PATCH, "target": {"kind": kind, "name": app.name}}]
    files = {PATCH: to_yaml(_server_patch(app, device, pod, tolerant))}
    if scaling:
        patches.append({"path": AUTOSCALER_PATCH, "target": {"kind": autoscaled, "name": app.name}})
        files[AUTOSCALER_PATCH] = to_yaml(scaling)
    document = _HEAD | {"resources": ["../base"], "patches": patches}
    if app.chosen.namespace:
        document["namespace"] = app.chosen.namespace
    return files | {"kustomization.yaml": to_yaml(document)}


def _server_patch(app: App, device: Device, pod: str, tolerant: bool) -> list[dict[str, Any]]:
    """Operations of RFC 6902: image, flags, variables and resources of one device."""
    container = f"{pod}/containers/0"
    image = app.release.gpu_image if device == "gpu" else app.release.cpu_image
    memory = pods.memory(app, device)
    found = [{"op": "replace", "path": f"{container}/image", "value": image}]
    found += [_add(f"{container}/args/-", flag) for flag in pods.own_flags(app, device)]
    found += [_add(f"{container}/env/-", variable) for variable in pods.own_environment(app, device)]
    found.append(_add(f"{container}/resources/requests/memory", memory))
    limits = {"memory": memory} | ({app.chosen.gpu_resource: "1"} if device == "gpu" else {})
    found.append(_add(f"{container}/resources/limits", limits))
    if device == "gpu":
        if tolerant:
            # A node with GPUs is often tainted with the resource's name.
            toleration = {"key": app.chosen.gpu_resource, "operator": "Exists", "effect": "NoSchedule"}
            found.append(_add(f"{pod}/tolerations", [toleration]))
        if app.chosen.node_selector:
            found.append(_add(f"{pod}/nodeSelector", dict(app.chosen.node_selector)))
    return found


def _add(path: str, value: Any) -> dict[str, Any]:
    return {"op": "add", "path": path, "value": value}
