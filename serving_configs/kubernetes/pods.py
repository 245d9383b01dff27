"""The server's pod: container, probes, volumes, and how the models come into it."""

from __future__ import annotations

import math
from typing import Any
from urllib.parse import quote

from exporter.choices import Device
from exporter.errors import OptionError
from serving_configs import batching
from serving_configs.compose import grace_seconds, start_seconds
from serving_configs.docker_run import environment
from serving_configs.flags import server_flags
from serving_configs.gpu_memory import RUNTIME_BYTES, loaded_weights_bytes, planned_bytes
from serving_configs.kubernetes.app import CONFIG_DIRECTORY, App, cores, mebibytes
from serving_configs.kubernetes_options import IMAGE_RECIPE

#: "nobody": the server writes nothing.
USER = 65534
PERIOD_SECONDS = 10
#: After so long a gRPC connection ends, once its calls are answered: clients look for new pods only then.
CONNECTION_SECONDS = 60
#: Until a pod that ends is out of every load balancer's list.
LEAVING_SECONDS = 5
#: Lets the kubelet run the last hook to its end.
SPARE_SECONDS = 10
_CACHE_DIRECTORY = "/xla-cache"

CONTAINER_SECURITY: dict[str, Any] = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
#: What a pod says for all its containers, or each for itself.
SHARED_SECURITY: dict[str, Any] = {
    "runAsNonRoot": True,
    "runAsUser": USER,
    "runAsGroup": USER,
    "seccompProfile": {"type": "RuntimeDefault"},
}
POD_SECURITY = SHARED_SECURITY | {"fsGroup": USER, "fsGroupChangePolicy": "OnRootMismatch"}
SCRATCH = {"name": "tmp", "emptyDir": {}}
SCRATCH_MOUNT = {"name": "tmp", "mountPath": "/tmp"}


def flags(app: App, device: Device) -> list[str]:
    """The server's flags, as every other run file has them; the files' place differs, and connections end."""
    found = [
        f"--model_config_file={app.models_config_directory}/models.config"
        if flag.startswith("--model_config_file=")
        else flag
        for flag in server_flags(app.manifests, app.options, app.release, device, CONFIG_DIRECTORY)
    ]
    return [*found, f"--grpc_channel_arguments=grpc.max_connection_age_ms={CONNECTION_SECONDS * 1000}"]


def common_flags(app: App) -> list[str]:
    """Those that do not depend on the device."""
    return [flag for flag in flags(app, "gpu") if flag in flags(app, "cpu")]


def own_flags(app: App, device: Device) -> list[str]:
    return [flag for flag in flags(app, device) if flag not in common_flags(app)]


def own_environment(app: App, device: Device) -> list[dict[str, str]]:
    """Variables of one device alone."""
    common = _common_environment(app)
    variables = environment(app.manifests, device)
    return [{"name": name, "value": value} for name, value in variables.items() if name not in common]


def _common_environment(app: App) -> dict[str, str]:
    gpu, cpu = environment(app.manifests, "gpu"), environment(app.manifests, "cpu")
    return {name: value for name, value in gpu.items() if cpu.get(name) == value}


def memory(app: App, device: Device) -> str:
    """Host memory: on a CPU all of the plan; of a GPU the weights, which pass through, and the runtime."""
    if device == "cpu":
        return mebibytes(planned_bytes(app.manifests, app.options, "cpu"))
    return mebibytes(loaded_weights_bytes(app.manifests, app.options) + RUNTIME_BYTES)


def server(app: App, ports: list[dict[str, Any]]) -> dict[str, Any]:
    """The container, without what depends on the device."""
    variables = [{"name": name, "value": value} for name, value in _common_environment(app).items()]
    if app.options.xla_cache:
        cache = _CACHE_DIRECTORY if app.chosen.cache_claim else f"{app.options.model_root}/xla-cache"
        variables.append({"name": "XLA_CACHE", "value": cache})
    return {
        "name": "server",
        "image": app.release.cpu_image,
        "command": ["/usr/bin/bash", f"{CONFIG_DIRECTORY}/start-server.sh"],
        "args": common_flags(app),
        "env": variables,
        "ports": ports,
        "resources": {"requests": _requests(app)},
        "volumeMounts": mounts(app),
        **probes(app),
        "lifecycle": {"preStop": {"exec": {"command": ["/usr/bin/sleep", str(drain_seconds(app))]}}},
        "securityContext": CONTAINER_SECURITY,
    }


def _requests(app: App) -> dict[str, str]:
    copied = {} if app.source == "claim" else {"ephemeral-storage": mebibytes(app.bytes)}
    return {"cpu": cores(app.chosen.cpu), **copied}


def mounts(app: App, *, models: bool = True) -> list[dict[str, Any]]:
    config = {"name": "config", "mountPath": CONFIG_DIRECTORY, "readOnly": True}
    found: list[dict[str, Any]] = [SCRATCH_MOUNT, config]
    if models:
        found.append(models_mount(app))
    if app.options.xla_cache and app.chosen.cache_claim:
        found.append({"name": "xla-cache", "mountPath": _CACHE_DIRECTORY, "readOnly": True})
    return found


def models_mount(app: App, *, read_only: bool = True) -> dict[str, Any]:
    mount: dict[str, Any] = {"name": "models", "mountPath": app.options.model_root}
    if read_only:
        mount["readOnly"] = True
    if app.source == "claim" and app.chosen.claim_path:
        mount["subPath"] = app.chosen.claim_path
    return mount


def probes(app: App) -> dict[str, Any]:
    """Sized from the measured warmup and the longest wait that the queue allows.

    Started and ready is a pod whose every model is AVAILABLE, as healthcheck.sh reads from the status: the
    call itself answers 200 in any state. Alive is one that answers it at all: with every thread held by
    requests that get no answer, it does not.
    """
    state = {
        "exec": {"command": ["/usr/bin/bash", f"{CONFIG_DIRECTORY}/healthcheck.sh"]},
        "periodSeconds": PERIOD_SECONDS,
        "timeoutSeconds": PERIOD_SECONDS,
    }
    model = quote(app.manifests[0].name, safe="")
    patience = batching.rest_timeout(app.manifests, app.options)
    return {
        "startupProbe": state | {"failureThreshold": _periods(start_seconds(app.manifests))},
        "readinessProbe": state | {"failureThreshold": 3},
        "livenessProbe": {
            "httpGet": {"path": f"/v1/models/{model}", "port": app.options.rest_port},
            "periodSeconds": PERIOD_SECONDS,
            "timeoutSeconds": PERIOD_SECONDS,
            "failureThreshold": _periods(patience),
        },
    }


def _periods(seconds: float) -> int:
    return max(3, math.ceil(seconds / PERIOD_SECONDS))


def drain_seconds(app: App) -> int:
    """How long a pod that ends goes on serving: the server ends at once when it is told to."""
    return LEAVING_SECONDS + grace_seconds(app.manifests, app.options)


def termination_seconds(app: App) -> int:
    return drain_seconds(app) + SPARE_SECONDS


def volumes(app: App, *, models: bool = True) -> list[dict[str, Any]]:
    """``config`` joins the rendered files with the private key where there is one."""
    config: dict[str, Any] = {"name": "config", "configMap": {"name": app.suffixed("config")}}
    if app.options.ssl:
        sources = [
            {"configMap": {"name": app.suffixed("config")}},
            {"secret": {"name": app.suffixed("ssl")}},
        ]
        config = {"name": "config", "projected": {"sources": sources, "defaultMode": 0o440}}
    found = [SCRATCH, config]
    if models:
        found.append(models_volume(app))
    if app.options.xla_cache and app.chosen.cache_claim:
        claim = {"claimName": app.chosen.cache_claim, "readOnly": True}
        found.append({"name": "xla-cache", "persistentVolumeClaim": claim})
    return found


def models_volume(app: App, *, read_only: bool = True) -> dict[str, Any]:
    if app.source != "claim":
        return {"name": "models", "emptyDir": {}}
    claim: dict[str, Any] = {"claimName": app.claim}
    if read_only:
        claim["readOnly"] = True
    return {"name": "models", "persistentVolumeClaim": claim}


def init_containers(app: App) -> dict[str, Any]:
    """What brings the models into the pod, where they are not on a volume.

    Raises:
      OptionError: models to pull, and no image to do it with.
    """
    if app.source == "claim":
        return {}
    return {"initContainers": [_copy(app) if app.source == "image" else _pull(app)]}


def _copy(app: App) -> dict[str, Any]:
    """Out of an image that holds them at ``model_root``."""
    return {
        "name": "models",
        "image": app.chosen.model_image,
        "command": ["cp", "-R", f"{app.options.model_root}/.", "/copy/"],
        "resources": {"requests": _requests(app)},
        "volumeMounts": [models_mount(app, read_only=False) | {"mountPath": "/copy"}],
        "securityContext": CONTAINER_SECURITY,
    }


def _pull(app: App) -> dict[str, Any]:
    """``genserve pull``, by the image that has genserve: nothing is installed where pods start."""
    if not app.chosen.genserve_image:
        raise OptionError(
            f"kubernetes.genserve_image: missing; pods pull {app.options.source} with an image "
            f"that has genserve[remote] installed: {IMAGE_RECIPE}; allowed too: models on a volume "
            "(kubernetes.claim) or in an image (kubernetes.model_image)"
        )
    return {
        "name": "models",
        "image": app.chosen.genserve_image,
        "command": ["genserve", "pull", app.options.source, app.options.model_root],
        "env": [{"name": "HOME", "value": "/tmp"}],
        **credentials(app),
        "resources": {"requests": _requests(app)},
        "volumeMounts": [SCRATCH_MOUNT, models_mount(app, read_only=False)],
        "securityContext": CONTAINER_SECURITY,
    }


def credentials(app: App) -> dict[str, Any]:
    """Variables for the object store and the hub, out of a Secret."""
    secret = app.chosen.credentials_secret
    return {"envFrom": [{"secretRef": {"name": secret}}]} if secret else {}
