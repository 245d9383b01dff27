"""run-gpu.sh and run-cpu.sh: the server in Docker, with exactly the planned flags."""

from __future__ import annotations

from collections.abc import Sequence

from exporter.choices import Device
from exporter.manifest import Manifest
from serving_configs.flags import server_flags
from serving_configs.notes import notes
from serving_configs.releases import Release
from serving_configs.serving_options import ServingOptions
from serving_configs.text import template


def environment(manifests: Sequence[Manifest], device: Device) -> dict[str, str]:
    """Environment variables of the server process."""
    variables = {"TF_CPP_MIN_LOG_LEVEL": "1", "GENSERVE_DEVICE": device}
    if device == "gpu" and any(manifest.model.dtype == "float32" for manifest in manifests):
        # fp32 means fp32: tensor cores would round the factors of every product to ten bits.
        variables["NVIDIA_TF32_OVERRIDE"] = "0"
    return variables


def entrypoint(options: ServingOptions) -> list[str]:
    """The launcher in the container."""
    return ["/usr/bin/bash", f"{options.model_root}/serving/start-server.sh"]


def render(manifests: Sequence[Manifest], options: ServingOptions, release: Release, device: Device) -> str:
    """A bash script; ``MODELS``, ``XLA_CACHE``, ``GPUS`` and ``IMAGE`` may be set in its environment."""
    return template(
        "docker-run.sh.j2",
        options=options,
        release=release,
        device=device,
        image=release.gpu_image if device == "gpu" else release.cpu_image,
        environment=environment(manifests, device),
        entrypoint=entrypoint(options),
        flags=server_flags(manifests, options, release, device, f"{options.model_root}/serving"),
        notes=notes(manifests, options, device),
    )
