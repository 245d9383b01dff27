"""docker-compose.yaml: the server on a GPU or the CPU, behind a front with TLS, a token and limits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml

from exporter.choices import Device
from exporter.manifest import Manifest
from serving_configs import batching, guard, nginx
from serving_configs.docker_run import entrypoint, environment
from serving_configs.flags import server_flags
from serving_configs.releases import Release
from serving_configs.serving_options import ServingOptions
from serving_configs.text import GENERATED

NGINX_IMAGE = "nginx:1.28-alpine"
#: Whoever starts it says which image has genserve installed: nothing is installed where containers start.
GENSERVE_IMAGE = (
    "${GENSERVE_IMAGE:?set GENSERVE_IMAGE to an image with genserve installed (genserve help images)}"
)
# Variables of whoever starts it that are passed on, where they are set.
_CREDENTIALS = (
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_DEFAULT_REGION"),
    *("AWS_ENDPOINT_URL", "GOOGLE_CLOUD_PROJECT"),
)
# A warmup that was never measured gets this long before the container counts as unhealthy.
UNMEASURED_START_SECONDS = 900
# A server slower or colder than the exporting machine may take so many times its warmup.
START_FACTOR = 5

_HEAD = f"""\
# {GENERATED}
#   docker compose --profile gpu up      (or --profile cpu)
# The front answers on the HTTPS port; it needs GENSERVE_TOKEN, and tls/server.crt and tls/server.key beside
# this file.
"""


def start_seconds(manifests: Sequence[Manifest]) -> int:
    """How long loading and warming up every model may take."""
    measured = [manifest.warmup.seconds for manifest in manifests]
    if any(seconds is None for seconds in measured):
        return UNMEASURED_START_SECONDS
    return max(60, round(START_FACTOR * sum(seconds or 0.0 for seconds in measured)))


def grace_seconds(manifests: Sequence[Manifest], options: ServingOptions) -> int:
    """How long a server that is told to stop may go on: the longest that a request may take."""
    return max(30, round(batching.rest_timeout(manifests, options)))


def render(manifests: Sequence[Manifest], options: ServingOptions, release: Release) -> str:
    """The YAML text; host ports of the server itself listen on localhost only."""
    document = {
        "name": "genserve",
        "services": {
            "serving-gpu": _serving(manifests, options, release, "gpu"),
            "serving-cpu": _serving(manifests, options, release, "cpu"),
            **({"gateway": _gateway(manifests, options)} if options.gateway else {}),
            "front": _front(options),
            **({"pull": _pull(options.source, options)} if options.source else {}),
        },
        "networks": {"serving": {}},
    }
    return _HEAD + yaml.safe_dump(document, sort_keys=False, width=110)


def _serving(
    manifests: Sequence[Manifest], options: ServingOptions, release: Release, device: Device
) -> dict[str, Any]:
    serving = f"{options.model_root}/serving"
    variables = environment(manifests, device)
    volumes = [f"..:{options.model_root}:ro"]
    if options.xla_cache:
        variables["XLA_CACHE"] = "/xla-cache"
        volumes.append("${XLA_CACHE:-../xla-cache}:/xla-cache:ro")
    service: dict[str, Any] = {
        "profiles": [device],
        "image": release.gpu_image if device == "gpu" else release.cpu_image,
        "init": True,
        "restart": "unless-stopped",
        "entrypoint": entrypoint(options),
        "command": server_flags(manifests, options, release, device, serving),
        "environment": variables,
        "volumes": volumes,
        "ports": [f"127.0.0.1:{port}:{port}" for port in (options.grpc_port, options.rest_port)],
        # Both variants answer under one name, so that the front needs no variant.
        "networks": {"serving": {"aliases": ["serving"]}},
        "healthcheck": {
            "test": ["CMD", "/usr/bin/bash", f"{serving}/healthcheck.sh"],
            "interval": "10s",
            "timeout": "10s",
            "retries": 3,
            "start_period": f"{start_seconds(manifests)}s",
        },
        "stop_grace_period": f"{grace_seconds(manifests, options)}s",
        "read_only": True,
        "tmpfs": ["/tmp"],
        "security_opt": ["no-new-privileges:true"],
    }
    if options.source:
        service["depends_on"] = {"pull": {"condition": "service_completed_successfully"}}
    if device == "gpu":
        reservation = {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}
        service["deploy"] = {"resources": {"reservations": {"devices": [reservation]}}}
    return service


def _pull(source: str, options: ServingOptions) -> dict[str, Any]:
    """Copies the export directory from its store before a server starts: the server itself reads no URL."""
    return {
        "profiles": ["gpu", "cpu"],
        "image": GENSERVE_IMAGE,
        # Whoever owns the export directory, it can be written.
        "user": "0:0",
        "command": ["genserve", "pull", f"${{SOURCE:-{source}}}", options.model_root],
        "environment": dict.fromkeys(_CREDENTIALS),
        "volumes": [f"..:{options.model_root}"],
    }


def _gateway(manifests: Sequence[Manifest], options: ServingOptions) -> dict[str, Any]:
    """OpenAI's API before the server; the front alone reaches it."""
    arguments = (
        *("--host", "0.0.0.0", "--port", str(nginx.GATEWAY_PORT)),
        *("--backend", f"grpc://serving:{options.grpc_port}", "--manifest", options.model_root),
    )
    healthy = f"urllib.request.urlopen('http://localhost:{nginx.GATEWAY_PORT}/health')"
    return {
        "profiles": ["gpu", "cpu"],
        "image": GENSERVE_IMAGE,
        "init": True,
        "restart": "unless-stopped",
        "command": ["genserve", "gateway", *arguments],
        "volumes": [f"..:{options.model_root}:ro"],
        "networks": ["serving"],
        "healthcheck": {
            "test": ["CMD", "python", "-c", f"import urllib.request; {healthy}"],
            "interval": "10s",
            "timeout": "10s",
            "retries": 3,
            "start_period": f"{start_seconds(manifests)}s",
        },
        "stop_grace_period": f"{grace_seconds(manifests, options)}s",
        "security_opt": ["no-new-privileges:true"],
    }


def _front(options: ServingOptions) -> dict[str, Any]:
    return {
        "profiles": ["gpu", "cpu"],
        # nginx asks for the gateway's address once, when it starts.
        **({"depends_on": ["gateway"]} if options.gateway else {}),
        "image": NGINX_IMAGE,
        "command": list(nginx.COMMAND),
        "restart": "unless-stopped",
        "environment": {
            "GENSERVE_TOKEN": "${GENSERVE_TOKEN:?set GENSERVE_TOKEN to the clients' bearer token}",
            # Nothing else of the environment may change the nginx configuration.
            "NGINX_ENVSUBST_FILTER": "^GENSERVE_",
        },
        "volumes": [
            "./nginx.conf.template:/etc/nginx/templates/default.conf.template:ro",
            f"./{guard.FILE}:{nginx.GUARD_FILE}:ro",
            "./tls:/etc/nginx/tls:ro",
        ],
        "ports": [f"{options.https_port}:8443"],
        "networks": ["serving"],
    }
