"""batching.config and batching_params.pbtxt: the buckets, and a queue that fits the latency goal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from exporter.errors import OptionError
from exporter.saved_model.manifest import Manifest
from serving_configs import protos
from serving_configs.options import ServingOptions

# The part of the latency goal that a request may spend waiting for company, and the most it ever waits:
# while a batch runs, the next one fills by itself.
TIMEOUT_SHARE = 0.01
TIMEOUT_LIMIT_MICROS = 50_000
# Batches that may wait where nothing was measured: a guess cannot keep the goal, so it refuses rarely.
UNMEASURED_QUEUE = 64


def check(manifests: Sequence[Manifest]) -> None:
    """Merged requests fail together when an op fails, so row errors must be data."""
    for manifest in manifests:
        if manifest.options.get("row_errors") == "raise":
            raise OptionError(
                f"model {manifest.name!r} version {manifest.version} was exported with row_errors 'raise': "
                "one bad row would fail every client of a merged batch; export with row_errors 'answer' or "
                "turn batching off"
            )


def queue_length(options: ServingOptions) -> int:
    """How many full batches may wait: the last of them must still be answered within the goal."""
    if options.batch_seconds is None:
        return UNMEASURED_QUEUE
    # A request waits for the running batch, for those before it, and then for its own.
    return max(1, int(options.latency_goal_seconds / options.batch_seconds) - 1)


def timeout_micros(options: ServingOptions) -> int:
    if options.batch_timeout_micros is not None:
        return options.batch_timeout_micros
    return min(TIMEOUT_LIMIT_MICROS, round(options.latency_goal_seconds * TIMEOUT_SHARE * 1e6))


def parameters(manifest: Manifest, options: ServingOptions) -> Any:
    """``BatchingParameters`` of one model; thread settings are the server's own, not the model's."""
    sizes = manifest.buckets.batch_sizes
    message = protos.new("BatchingParameters")
    message.max_batch_size.value = sizes[-1]
    message.batch_timeout_micros.value = timeout_micros(options)
    message.max_enqueued_batches.value = queue_length(options)
    # The last must equal max_batch_size, splitting or not: a larger request is refused with INVALID_ARGUMENT,
    # so clients send at most the largest bucket.
    message.allowed_batch_sizes.extend(sizes)
    return message


def server_parameters(manifests: Sequence[Manifest], options: ServingOptions) -> Any:
    """``BatchingParameters`` of the whole server: the widest model's buckets, and the threads."""
    message = parameters(max(manifests, key=lambda manifest: manifest.buckets.batch_sizes), options)
    # One batch of each model at a time: a second one would halve the accelerator's speed for both, need
    # memory of its own, and leave fewer requests to merge.
    message.num_batch_threads.value = len({manifest.name for manifest in manifests})
    message.thread_pool_name.value = "genserve"
    return message


def render(manifests: Sequence[Manifest], options: ServingOptions) -> str:
    """The server-wide file."""
    check(manifests)
    return protos.to_text(server_parameters(manifests, options))


def render_model(manifest: Manifest, options: ServingOptions) -> str:
    """``batching_params.pbtxt``, which stands in the version directory."""
    check([manifest])
    return protos.to_text(parameters(manifest, options))
