"""Server-side batching: requests of one signature are merged, run together and split again.

The rules are those of TensorFlow Serving's batching session and shared batch scheduler: one queue per set of
input and output tensors, a thread pool shared by all queues, batches padded to an allowed size with copies of
the last request's first row, and one error for every request of a batch that fails.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf import text_format

from exporter.errors import ServingError
from exporter.preview.json_tensor import Tensors
from exporter.preview.metrics import Metrics
from exporter.preview.servable import Servable, Signature, run_signature
from exporter.preview.status import Code, StatusError, invalid
from serving_configs import protos

PER_MODEL_FILE = "batching_params.pbtxt"


@dataclass(frozen=True)
class BatchingParameters:
    """The values of a batching file, with the server's defaults."""

    max_batch_size: int = 1000
    batch_timeout_micros: int = 0
    max_enqueued_batches: int = 10
    num_batch_threads: int = field(default_factory=lambda: os.cpu_count() or 1)
    thread_pool_name: str = "batch_threads"
    allowed_batch_sizes: tuple[int, ...] = ()

    def padded(self, rows: int) -> int:
        """The smallest allowed batch size that holds ``rows``."""
        return next((size for size in self.allowed_batch_sizes if size >= rows), rows)


def read_parameters(path: Path) -> BatchingParameters:
    """Parses a batching file.

    Raises:
      ServingError: unreadable, not a ``BatchingParameters``, or refused by the server's own checks.
    """
    try:
        message = protos.from_text(path.read_text(encoding="utf-8"), protos.new("BatchingParameters"))
    except (OSError, UnicodeDecodeError, text_format.ParseError) as error:
        raise ServingError(f"batching parameters {path}: {error}") from None
    values: dict[str, Any] = {}
    for name in ("max_batch_size", "batch_timeout_micros", "max_enqueued_batches", "num_batch_threads"):
        if message.HasField(name):
            values[name] = getattr(message, name).value
    if message.HasField("thread_pool_name"):
        values["thread_pool_name"] = message.thread_pool_name.value
    sizes = tuple(message.allowed_batch_sizes)
    parameters = BatchingParameters(allowed_batch_sizes=sizes, **values)
    if message.pad_variable_length_inputs or message.enable_large_batch_splitting.value:
        raise ServingError(
            f"batching parameters {path}: the preview server has neither pad_variable_length_inputs nor "
            "enable_large_batch_splitting"
        )
    if sizes and sizes[-1] != parameters.max_batch_size:
        raise ServingError(
            f"batching parameters {path}: Last entry in allowed_batch_sizes must match max_batch_size; last "
            f"entry was {sizes[-1]}; expected {parameters.max_batch_size}"
        )
    if list(sizes) != sorted(set(sizes)):
        raise ServingError(f"batching parameters {path}: allowed_batch_sizes {list(sizes)} must increase")
    if parameters.num_batch_threads < 1 or parameters.max_batch_size < 1:
        raise ServingError(
            f"batching parameters {path}: num_batch_threads and max_batch_size must be at least 1"
        )
    return parameters


@dataclass(eq=False)
class _Task:
    """One request in a queue."""

    tensors: Tensors
    rows: int
    enqueued: float = field(default_factory=time.monotonic)
    done: threading.Event = field(default_factory=threading.Event)
    outputs: Tensors | None = None
    error: StatusError | None = None

    def finish(self, outputs: Tensors | None, error: StatusError | None) -> None:
        self.outputs, self.error = outputs, error
        self.done.set()


@dataclass(eq=False)
class _Queue:
    """The waiting batches of one signature; the last one is open, the others are full."""

    signature: Signature
    outputs: list[str]
    parameters: BatchingParameters
    batches: deque[list[_Task]] = field(default_factory=lambda: deque([[]]))

    def add(self, task: _Task) -> None:
        """Raises StatusError: the request is too large, or the queue is full."""
        limit = self.parameters.max_batch_size
        if task.rows > limit:
            raise invalid(f"Task size {task.rows} is larger than maximum input batch size {limit}")
        if _rows(self.batches[-1]) + task.rows > limit:
            if len(self.batches) >= self.parameters.max_enqueued_batches:
                raise StatusError(
                    Code.UNAVAILABLE,
                    "The batch scheduling queue to which this task was submitted is full; currently "
                    f"{len(self.batches)} batches enqueued and max_enqueued_batches is "
                    f"{self.parameters.max_enqueued_batches}",
                )
            self.batches.append([])
        self.batches[-1].append(task)

    def ready_at(self) -> float | None:
        """When the first batch may run: a time in the past for a full one, None when there is none."""
        if len(self.batches) > 1:
            return 0.0
        open_batch = self.batches[0]
        if not open_batch:
            return None
        if _rows(open_batch) >= self.parameters.max_batch_size:
            return 0.0
        return open_batch[0].enqueued + self.parameters.batch_timeout_micros / 1e6

    def take(self) -> list[_Task]:
        batch = self.batches.popleft()
        if not self.batches:
            self.batches.append([])
        return batch


def _rows(batch: Sequence[_Task]) -> int:
    return sum(task.rows for task in batch)


class Scheduler:
    """The thread pool that runs the batches of every queue.

    Args:
      hang_on_empty_batches: whether a request of no rows is never answered, as by the real server; without
        it, such a request is refused.
    """

    def __init__(
        self, parameters: BatchingParameters, metrics: Metrics, *, hang_on_empty_batches: bool = False
    ) -> None:
        self.parameters = parameters
        self._hang = hang_on_empty_batches
        self._released = threading.Event()
        self._metrics = metrics
        self._queues: list[_Queue] = []
        self._changed = threading.Condition()
        self._closed = False
        self._threads = [
            threading.Thread(target=self._work, name=parameters.thread_pool_name, daemon=True)
            for _ in range(parameters.num_batch_threads)
        ]
        for thread in self._threads:
            thread.start()

    def wrap(self, servable: Servable, parameters: BatchingParameters | None = None) -> None:
        """Sends a servable's requests through queues of their own."""
        queues: dict[tuple[str, tuple[str, ...]], _Queue] = {}
        forgotten = threading.Event()

        def run(signature: Signature, tensors: Tensors, outputs: Sequence[str]) -> Tensors:
            task = _Task(tensors, _batch_size(tensors))
            if task.rows == 0:
                raise self._empty()
            with self._changed:
                if forgotten.is_set():
                    return run_signature(signature, tensors, outputs)
                if self._closed:
                    raise _unloaded(servable)
                key = (signature.name, tuple(sorted(outputs)))
                if key not in queues:
                    queues[key] = _Queue(signature, list(outputs), parameters or self.parameters)
                    self._queues.append(queues[key])
                self._metrics.observe_input(task.rows)
                queues[key].add(task)
                self._changed.notify()
            task.done.wait()
            if task.error is not None:
                raise task.error
            assert task.outputs is not None
            return task.outputs

        def forget() -> None:
            with self._changed:
                # A request that found this version just before it was unloaded runs alone; one that is
                # queued already has nobody left to run it.
                forgotten.set()
                self._queues = [queue for queue in self._queues if queue not in queues.values()]
                left = [task for queue in queues.values() for batch in queue.batches for task in batch]
            for task in left:
                task.finish(None, _unloaded(servable))

        servable.run = run
        servable.on_unload = forget

    def _empty(self) -> StatusError:
        """The refusal of a request without rows; not before the server stops where such requests hang."""
        if not self._hang:
            return invalid(
                "Batching Run() input tensors have no rows; TensorFlow Serving never answers such a request "
                "while batching is on"
            )
        self._released.wait()
        return StatusError(Code.UNAVAILABLE, "the server stops")

    def release(self) -> None:
        """Ends requests that would hang for ever."""
        self._released.set()

    def close(self) -> None:
        """Ends the threads; waiting requests are answered first."""
        self.release()
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while True:
            with self._changed:
                picked = self._next()
                while picked is None:
                    if self._closed and all(queue.ready_at() is None for queue in self._queues):
                        return
                    self._changed.wait(self._until_ready())
                    picked = self._next()
            self._run(*picked)

    def _next(self) -> tuple[_Queue, list[_Task]] | None:
        """Takes a batch that may run, queues in turn."""
        now = time.monotonic()
        for index, queue in enumerate(self._queues):
            ready = queue.ready_at()
            if ready is not None and (ready <= now or self._closed):
                self._queues.append(self._queues.pop(index))
                return queue, queue.take()
        return None

    def _until_ready(self) -> float | None:
        times = [ready for queue in self._queues if (ready := queue.ready_at()) is not None]
        return max(0.0, min(times) - time.monotonic()) if times else None

    def _run(self, queue: _Queue, batch: list[_Task]) -> None:
        rows = _rows(batch)
        size = queue.parameters.padded(rows)
        now = time.monotonic()
        waits = [(now - task.enqueued) * 1e6 for task in batch]
        self._metrics.observe_batch(self.parameters.thread_pool_name, waits, size, size - rows)
        try:
            outputs = run_signature(queue.signature, _merge(batch, size - rows), queue.outputs)
            parts = _split(outputs, [task.rows for task in batch], size)
        except StatusError as error:
            for task in batch:
                task.finish(None, error)
        except Exception as error:  # the thread must live, and every waiting client must get an answer
            for task in batch:
                task.finish(None, StatusError(Code.INTERNAL, f"{type(error).__name__}: {error}"))
        else:
            for task, part in zip(batch, parts, strict=True):
                task.finish(part, None)


def _unloaded(servable: Servable) -> StatusError:
    return StatusError(
        Code.UNAVAILABLE, f"version {servable.version} of model {servable.name} is being unloaded"
    )


def _batch_size(tensors: Tensors) -> int:
    if not tensors:
        raise invalid("Batching Run() must have at least one input tensor")
    if any(array.ndim == 0 for array in tensors.values()):
        raise invalid("Batching Run() input tensors must have at least one dimension")
    sizes = {array.shape[0] for array in tensors.values()}
    if len(sizes) > 1:
        raise invalid("Batching Run() input tensors must have equal 0th-dimension size")
    return sizes.pop()


def _merge(batch: Sequence[_Task], padding: int) -> Tensors:
    merged = {}
    for name in batch[0].tensors:
        parts = [task.tensors[name] for task in batch]
        if any(part.shape[1:] != parts[0].shape[1:] for part in parts):
            raise StatusError(
                Code.FAILED_PRECONDITION,
                f"Tensors with name '{name}' from different tasks have different shapes and padding is "
                "turned off.Set pad_variable_length_inputs to true, or ensure that all tensors with the same "
                "namehave equal dimensions starting with the first dim.",
            )
        merged[name] = np.concatenate([*parts, *[parts[-1][:1]] * padding])
    return merged


def _split(outputs: Tensors, rows: Sequence[int], size: int) -> list[Tensors]:
    for array in outputs.values():
        if array.ndim == 0:
            raise StatusError(Code.FAILED_PRECONDITION, "Batched output tensor has 0 dimensions")
        if array.shape[0] != size:
            raise StatusError(
                Code.FAILED_PRECONDITION,
                "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension sizes of "
                "the input tensors",
            )
    ends = np.cumsum(rows)
    return [
        {name: array[end - count : end] for name, array in outputs.items()}
        for end, count in zip(ends, rows, strict=True)
    ]
