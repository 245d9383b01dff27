"""A plan of memory from the manifests: weights, the largest program's buffers, and the runtime's own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from exporter.choices import Device
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
Bucket = tuple[int, int]


def bucket_bytes(manifest: Manifest, device: Device = "gpu") -> dict[Bucket, int]:
    """Bytes of buckets (batch size, prompt length) beside the weights, the largest program's, on ``device``.

    What ``genserve warm`` found there. Without it an estimate of the longest bucket: a full batch's keys and
    values, with a part for temporaries. What it found on the other device, whose XLA fuses otherwise, counts
    where it is more than the estimate.
    """
    measured = measured_bytes(manifest)
    if measured and manifest.warmup.device == device:
        return measured
    longest = manifest.buckets.prompt_lengths[-1]
    buckets = [*measured, *((rows, longest) for rows in manifest.buckets.batch_sizes)]
    return {bucket: max(measured.get(bucket, 0), _estimated(manifest, bucket)) for bucket in buckets}


def measured_bytes(manifest: Manifest) -> dict[Bucket, int]:
    """What ``genserve warm`` found, wherever it ran, with a part for fragmentation; empty before."""
    sizes: dict[Bucket, int] = {}
    for found in manifest.warmup.memory:
        bucket = (found.batch_size, found.prompt_length)
        needed = round((found.temporary_bytes + found.result_bytes) * (1 + FRAGMENTATION))
        sizes[bucket] = max(sizes.get(bucket, 0), needed)
    return sizes


def _estimated(manifest: Manifest, bucket: Bucket) -> int:
    rows, length = bucket
    return estimated_bytes(manifest.memory.weights_bytes, rows * row_bytes(manifest, length))


def estimated_bytes(weights_bytes: int, cache_bytes: int) -> int:
    """Of a bucket that was not measured, beside the weights: keys and values, with a part for temporaries."""
    return round(cache_bytes * (1 + WORKSPACE) + weights_bytes * WORKSPACE)


def row_bytes(manifest: Manifest, length: int) -> int:
    """Keys, values and states of one row in a length bucket.

    A manifest of an older export holds the longest bucket's alone; those of the others are in proportion to
    their tokens then: too little where a sliding window cuts the longest one's, too much with ``resume``,
    whose bucket is longer than theirs. States are as large in every bucket.
    """
    memory, lengths = manifest.memory, manifest.buckets.prompt_lengths
    if length == lengths[-1]:
        return memory.cache_bytes_per_row
    if memory.cache_bytes_by_length:
        return memory.cache_bytes_by_length[lengths.index(length)]
    generated = manifest.max_new_tokens * copies(
        [manifest.generation, *manifest.options.get("signatures", {}).values()]
    )
    longest = memory.cache_bytes_per_row - memory.state_bytes_per_row
    return memory.state_bytes_per_row - (-longest * (length + generated) // (lengths[-1] + generated))


def copies(options: Iterable[Mapping[str, Any]]) -> int:
    """The most beams or sequences of a row under some of the generation options."""
    keys = ("num_beams", "num_return_sequences")
    return max((option.get(key) or 1 for option in options for key in keys), default=1)


def _version_bytes(manifest: Manifest, device: Device) -> int:
    return manifest.memory.weights_bytes + max(bucket_bytes(manifest, device).values())


def loaded_versions(manifests: Sequence[Manifest], options: ServingOptions) -> list[Manifest]:
    """The versions that a server loads."""
    models = versions_by_model(manifests)
    return [
        manifest
        for manifest in manifests
        if manifest.version in served_versions(manifest.name, models[manifest.name], options)
    ]


def _loaded(manifests: Sequence[Manifest], options: ServingOptions, device: Device) -> list[Manifest]:
    """What is in memory at once; a server that looks for new versions loads one before it unloads the one it
    replaces: the largest counts twice then."""
    served = loaded_versions(manifests, options)
    largest = max(served, key=lambda manifest: _version_bytes(manifest, device), default=None)
    return served + ([largest] if options.poll_seconds and largest else [])


def loaded_weights_bytes(manifests: Sequence[Manifest], options: ServingOptions) -> int:
    """Bytes of the weights that are in memory at once, on a GPU."""
    return sum(manifest.memory.weights_bytes for manifest in _loaded(manifests, options, "gpu"))


def planned_bytes(manifests: Sequence[Manifest], options: ServingOptions, device: Device = "gpu") -> int:
    """Bytes of the device's memory that a server needs for the versions it loads."""
    loaded = _loaded(manifests, options, device)
    return sum(_version_bytes(manifest, device) for manifest in loaded) + RUNTIME_BYTES


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
            + _advice(_loaded(manifests, options, "gpu"), available)
        )
    return min(1.0, -(-needed * 100 // available) / 100)


def _advice(loaded: Sequence[Manifest], available: int) -> str:
    """The largest version's largest bucket, and the largest one with which everything would fit."""
    largest = max(loaded, key=lambda manifest: _version_bytes(manifest, "gpu"))
    sizes = bucket_bytes(largest)
    worst = max(sizes, key=lambda bucket: sizes[bucket])
    count = loaded.count(largest)
    others = sum(_version_bytes(manifest, "gpu") for manifest in loaded if manifest is not largest)
    room = (available - others - RUNTIME_BYTES) // count - largest.memory.weights_bytes
    fits = [bucket for bucket, size in sizes.items() if size <= room]
    where = f"{largest.name} version {largest.version}: weights {_gib(largest.memory.weights_bytes)}"
    where += f", bucket {worst[0]} x {worst[1]} tokens {_gib(sizes[worst])}"
    if not fits:
        return f"{where}; no bucket of it would fit: export fewer versions or a smaller model"
    best = max(fits, key=lambda bucket: sizes[bucket])
    return f"{where}; exported with buckets up to {best[0]} x {best[1]} tokens it would fit"


def _gib(count: int) -> str:
    return f"{count / (1 << 30):.1f} GiB"
