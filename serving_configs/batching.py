"""batching.config and batching_params.pbtxt: the buckets, and a queue for the clients and the latency goal.

A client that waits for its answer has one request in flight, and a request fills at most one batch: a queue
of as many batches as there are clients refuses none of them, whatever the sizes of their requests. Where the
time of a batch was measured, the queue is no longer than the latency goal allows: what cannot be answered
within it is refused at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from exporter.errors import OptionError
from exporter.manifest import Manifest
from serving_configs import protos
from serving_configs.serving_options import ServingOptions

# The part of the latency goal that a request may spend waiting for company, and the most it ever waits:
# while a batch runs, the next one fills by itself.
TIMEOUT_SHARE = 0.01
TIMEOUT_LIMIT_MICROS = 50_000
# Clients that are never refused where neither they nor a batch's time are stated.
DEFAULT_CLIENTS = 64
# Threads for calls that run no batch (status, health, metrics), beside those that wait for theirs.
SPARE_THREADS = 16
# A request that waits this much longer than the queue can explain gets no answer anymore.
TIMEOUT_FACTOR = 3
UNMEASURED_REST_TIMEOUT, LEAST_REST_TIMEOUT = 120.0, 30.0


def check(manifests: Sequence[Manifest]) -> None:
    """Merged requests fail together when an op fails, so row errors must be data."""
    for manifest in manifests:
        if manifest.options.get("row_errors") == "raise":
            raise OptionError(
                f"model {manifest.name!r} version {manifest.version} was exported with row_errors 'raise': "
                "one bad row would fail every client of a merged batch; export with row_errors 'answer' or "
                "turn batching off"
            )


def clients(options: ServingOptions) -> int:
    """How many requests the server must be able to hold at once."""
    return options.concurrent_clients or DEFAULT_CLIENTS


def handler_threads(options: ServingOptions) -> int:
    """Threads for each protocol: a request holds one while its batch fills, waits and runs.

    The server's default is four a CPU core: with more clients than that, REST requests cannot fill a batch,
    and gRPC calls are refused with RESOURCE_EXHAUSTED.
    """
    return clients(options) + SPARE_THREADS


def batch_seconds(manifest: Manifest, options: ServingOptions) -> float | None:
    """Time of one full batch in the longest bucket: as stated, or as ``genserve warm`` measured it."""
    return options.batch_seconds or manifest.warmup.batch_seconds


def queue_length(manifest: Manifest, options: ServingOptions) -> int:
    """How many full batches may wait.

    Raises:
      OptionError: the stated clients cannot be answered within the goal even if they fill every batch.
    """
    seconds = batch_seconds(manifest, options)
    if seconds is None:
        return clients(options)
    # A request waits for the running batch, for those before it, and then for its own.
    within_goal = max(1, int(options.latency_goal_seconds / seconds) - 1)
    if options.concurrent_clients is None:
        return within_goal
    full = -(-options.concurrent_clients // manifest.buckets.batch_sizes[-1])
    if full > within_goal + 1:
        raise OptionError(
            f"model {manifest.name!r}: {options.concurrent_clients} concurrent_clients fill {full} batches, "
            f"{full * seconds:g} s at {seconds:g} s a batch, more than latency_goal_seconds "
            f"{options.latency_goal_seconds:g}: state fewer clients for each server or a later goal, or "
            "export larger batches"
        )
    return min(options.concurrent_clients, within_goal)


def rest_timeout(manifests: Sequence[Manifest], options: ServingOptions) -> float:
    """Seconds after which a REST request is given up."""
    if options.rest_timeout_seconds is not None:
        return options.rest_timeout_seconds
    waits = [_longest_wait(manifest, options) for manifest in manifests]
    if any(wait is None for wait in waits):
        return UNMEASURED_REST_TIMEOUT
    return max(LEAST_REST_TIMEOUT, *(TIMEOUT_FACTOR * (wait or 0.0) for wait in waits))


def _longest_wait(manifest: Manifest, options: ServingOptions) -> float | None:
    seconds = batch_seconds(manifest, options)
    if seconds is None:
        return None
    return seconds * (queue_length(manifest, options) + 1 if options.batching else clients(options))


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
    message.max_enqueued_batches.value = queue_length(manifest, options)
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


def differ(manifests: Sequence[Manifest], options: ServingOptions) -> bool:
    """Whether the models need parameters of their own: several models, or versions with other buckets."""
    return len({(manifest.name, render_model(manifest, options)) for manifest in manifests}) > 1
