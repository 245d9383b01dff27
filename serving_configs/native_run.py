"""run.sh and server.env: the server without a container."""

from __future__ import annotations

from collections.abc import Sequence

from exporter.choices import Device
from exporter.manifest import Manifest
from serving_configs.docker_run import environment
from serving_configs.flags import server_flags
from serving_configs.releases import Release
from serving_configs.serving_options import ServingOptions
from serving_configs.text import template


def env_file(manifests: Sequence[Manifest], device: Device) -> str:
    """``NAME=value`` lines, as systemd and docker read them."""
    lines = [f"{name}={value}" for name, value in environment(manifests, device).items()]
    return "\n".join(lines) + "\n"


def render(manifests: Sequence[Manifest], options: ServingOptions, release: Release) -> str:
    """A bash script that takes ``gpu`` (the default) or ``cpu`` and further server flags.

    ``MODELS``, ``XLA_CACHE`` and ``SERVER`` may be set in its environment.
    """
    devices: tuple[Device, ...] = ("gpu", "cpu")
    flags = {
        device: server_flags(manifests, options, release, device, "$SERVING", "models-native.config")
        for device in devices
    }
    common = [flag for flag in flags["gpu"] if flag in flags["cpu"]]
    own = {device: [flag for flag in values if flag not in common] for device, values in flags.items()}
    return template("run.sh.j2", options=options, release=release, common=common, own=own)
