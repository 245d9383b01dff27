"""A plan of GPU memory from the manifests: weights, the largest program's buffers, and the runtime's own."""

from __future__ import annotations

from collections.abc import Sequence

from exporter.errors import OptionError
from exporter.manifest import Manifest
from serving_configs.models_config import served_versions, versions_by_model
from serving_configs.serving_options import ServingOptions

# Temporaries and fragmentation where nothing was measured, as a part of weights, keys and values.
WORKSPACE = 0.35
# What the allocator loses of measured sizes.
FRAGMENTATION = 0.1
# CUDA context, kernels and the allocator's own needs.
RUNTIME_BYTES = 1 << 30

#: Batch size and prompt length.
_Bucket = tuple[int, int]


def bucket_bytes(manifest: Manifest) -> dict[_Bucket, int]:
    """Bytes of each bucket (batch size, prompt length) beside the weights, the largest program's.

    What ``genserve warm`` found, or an estimate: a full batch's keys and values in the longest bucket, with a
    part for temporaries.
    """
    sizes: dict[_Bucket, int] = {}
    for found in manifest.warmup.memory:
        bucket = (found.batch_size, found.prompt_length)
        needed = round((found.temporary_bytes + found.result_bytes) * (1 + FRAGMENTATION))
        sizes[bucket] = max(sizes.get(bucket, 0), needed)
    if sizes:
        return sizes
    longest = manifest.buckets.prompt_lengths[-1]
    memory = manifest.memory
    return {
        (rows, longest): estimated_bytes(memory.weights_bytes, memory.cache_bytes_per_row * rows)
        for rows in manifest.buckets.batch_sizes
    }


def estimated_bytes(weights_bytes: int, cache_bytes: int) -> int:
    """Of a bucket that was not measured, beside the weights: keys and values, with a part for temporaries."""
    return round(cache_bytes * (1 + WORKSPACE) + weights_bytes * WORKSPACE)


def _version_bytes(manifest: Manifest) -> int:
    return manifest.memory.weights_bytes + max(bucket_bytes(manifest).values())


def _loaded(manifests: Sequence[Manifest], options: ServingOptions) -> list[Manifest]:
    """What is in memory at once; a server that looks for new versions loads one before it unloads the one it
    replaces: the largest counts twice then."""
    models = versions_by_model(manifests)
    served = [
        manifest
        for manifest in manifests
        if manifest.version in served_versions(manifest.name, models[manifest.name], options)
    ]
    return served + ([max(served, key=_version_bytes)] if options.poll_seconds and served else [])


def loaded_weights_bytes(manifests: Sequence[Manifest], options: ServingOptions) -> int:
    """Bytes of the weights that are in memory at once."""
    return sum(manifest.memory.weights_bytes for manifest in _loaded(manifests, options))


def planned_bytes(manifests: Sequence[Manifest], options: ServingOptions) -> int:
    """Bytes of GPU memory that a server needs for the versions it loads."""
    return sum(map(_version_bytes, _loaded(manifests, options))) + RUNTIME_BYTES


def gpu_memory_fraction(manifests: Sequence[Manifest], options: ServingOptions) -> float | None:
    """The server's share of the GPU, rounded up to 0.01; None where the GPU's memory is not given.

    Raises:
      OptionError: the models do not fit; says which bucket takes most, and which would fit.
    """
    if options.gpu_memory_gib is None:
        return None
    needed, available = planned_bytes(manifests, options), int(options.gpu_memory_gib * (1 << 30))
    if needed > available:
        raise OptionError(
            f"gpu_memory_gib {options.gpu_memory_gib:g}: the models need about {_gib(needed)}; "
            + _advice(_loaded(manifests, options), available)
        )
    return min(1.0, -(-needed * 100 // available) / 100)


def _advice(loaded: Sequence[Manifest], available: int) -> str:
    """The largest version's largest bucket, and the largest one with which everything would fit."""
    largest = max(loaded, key=_version_bytes)
    sizes = bucket_bytes(largest)
    worst = max(sizes, key=lambda bucket: sizes[bucket])
    copies = loaded.count(largest)
    others = sum(_version_bytes(manifest) for manifest in loaded if manifest is not largest) + RUNTIME_BYTES
    room = (available - others) // copies - largest.memory.weights_bytes
    fits = [bucket for bucket, size in sizes.items() if size <= room]
    where = f"{largest.name} version {largest.version}: weights {_gib(largest.memory.weights_bytes)}"
    where += f", bucket {worst[0]} x {worst[1]} tokens {_gib(sizes[worst])}"
    if not fits:
        return f"{where}; no bucket of it would fit: export fewer versions or a smaller model"
    best = max(fits, key=lambda bucket: sizes[bucket])
    return f"{where}; exported with buckets up to {best[0]} x {best[1]} tokens it would fit"


def _gib(count: int) -> str:
    return f"{count / (1 << 30):.1f} GiB"
