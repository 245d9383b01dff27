"""Dockerfile and its ignore file: models and compilation cache baked into TensorFlow Serving's image."""

from __future__ import annotations

from collections.abc import Sequence

from exporter.manifest import Manifest
from serving_configs.compose import start_seconds
from serving_configs.docker_run import entrypoint, environment
from serving_configs.flags import server_flags
from serving_configs.releases import Release
from serving_configs.serving_options import ServingOptions
from serving_configs.text import GENERATED, template


def render(manifests: Sequence[Manifest], options: ServingOptions, release: Release) -> str:
    """The build context is the export directory. The GPU's flags serve the CPU image too."""
    variables = {
        name: value for name, value in environment(manifests, "gpu").items() if name != "GENSERVE_DEVICE"
    }
    return template(
        "Dockerfile.j2",
        options=options,
        release=release,
        tag=f"{manifests[0].name}:{manifests[-1].version}",
        environment=variables,
        start_seconds=start_seconds(manifests),
        entrypoint=entrypoint(options),
        flags=server_flags(manifests, options, release, "gpu", f"{options.model_root}/serving"),
    )


def ignore() -> str:
    """What never belongs into an image: private keys, and what an export leaves half done.

    Objects of Kubernetes may hold a key, and no server reads them.
    """
    left_out = ("ssl.config", "options.yaml", "tls", "kubernetes", "kserve")
    return f"# {GENERATED}\n**/.*\n" + "".join(f"serving/{name}\n" for name in left_out)
