"""A plan of GPU memory from the manifests: weights, keys and values, and room for the compiled programs."""

from __future__ import annotations

from collections.abc import Sequence

from exporter.errors import OptionError
from exporter.manifest import Manifest
from serving_configs.models_config import served_versions, versions_by_model
from serving_configs.serving_options import ServingOptions

# Temporaries of the compiled programs and fragmentation, as a part of what is counted.
WORKSPACE = 0.35
# CUDA context, kernels and the allocator's own needs.
RUNTIME_BYTES = 1 << 30


def _version_bytes(manifest: Manifest) -> int:
    return manifest.memory.weights_bytes + (
        manifest.memory.cache_bytes_per_row * manifest.buckets.batch_sizes[-1]
    )


def planned_bytes(manifests: Sequence[Manifest], options: ServingOptions) -> int:
    """Bytes of GPU memory that a server needs for the versions it loads.

    A server that looks for new versions loads one before it unloads the one it replaces: the largest counts
    twice then.
    """
    models = versions_by_model(manifests)
    sizes = [
        _version_bytes(manifest)
        for manifest in manifests
        if manifest.version in served_versions(manifest.name, models[manifest.name], options)
    ]
    counted = sum(sizes) + (max(sizes) if options.poll_seconds else 0)
    return round(counted * (1 + WORKSPACE)) + RUNTIME_BYTES


def gpu_memory_fraction(manifests: Sequence[Manifest], options: ServingOptions) -> float | None:
    """The server's share of the GPU, rounded up to 0.01; None where the GPU's memory is not given.

    Raises:
      OptionError: the models do not fit.
    """
    if options.gpu_memory_gib is None:
        return None
    needed, available = planned_bytes(manifests, options), options.gpu_memory_gib * (1 << 30)
    if needed > available:
        raise OptionError(
            f"gpu_memory_gib {options.gpu_memory_gib:g}: the models need about {needed / (1 << 30):.1f} GiB; "
            "export fewer versions, smaller batches or shorter prompts"
        )
    return min(1.0, -(-needed * 100 // int(available)) / 100)
