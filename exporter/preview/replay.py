"""Replays ``assets.extra/tf_serving_warmup_requests``, as the server does before a version is AVAILABLE."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from exporter.preview.json_tensor import Tensors
from exporter.preview.servable import Servable, Signature
from exporter.preview.status import Code, StatusError, invalid
from exporter.preview.tensors import from_proto

WARMUP_PATH = Path("assets.extra") / "tf_serving_warmup_requests"
MAX_RECORDS = 1000


def _records(path: Path) -> Iterator[bytes]:
    try:
        yield from tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    except tf.errors.DataLossError as error:
        raise StatusError(
            Code.DATA_LOSS, f"{error.message}. Please verify your warmup data is in TFRecord format."
        ) from None


def replay(servable: Servable, done: Callable[[str, Tensors], None] = lambda name, tensors: None) -> int:
    """Sends every record, one at a time, through the servable's batcher; returns how many.

    ``done`` is called after each, with its signature's name and its inputs.

    Raises:
      StatusError: a record that is damaged, of another API, or that fails.
    """
    path = servable.directory / WARMUP_PATH
    count = 0
    for record in _records(path) if path.exists() else ():
        count += 1
        if count > MAX_RECORDS:
            raise invalid(f"Number of warmup records exceeds the maximum ({MAX_RECORDS}) at {path}")
        signature, tensors, outputs = _request(servable, record, path)
        servable.predict(signature, tensors, outputs)
        done(signature.name, tensors)
    return count


def slowest_batch(servable: Servable, instead: Mapping[str, int]) -> float | None:
    """Seconds of the slowest record among those with the most rows; None without records.

    Call it after ``replay``, when nothing is left to compile: with one record per bucket this is a full batch
    in the longest bucket. ``instead`` gives inputs another value in every row.
    """
    path = servable.directory / WARMUP_PATH
    requests = [_request(servable, record, path) for record in (_records(path) if path.exists() else ())]
    most = max((_rows(tensors) for _, tensors, _ in requests), default=0)
    seconds = []
    for signature, tensors, outputs in requests:
        if _rows(tensors) == most:
            tensors = {
                key: np.full_like(value, instead[key]) if key in instead else value
                for key, value in tensors.items()
            }
            started = time.monotonic()
            servable.predict(signature, tensors, outputs)
            seconds.append(time.monotonic() - started)
    return max(seconds, default=None)


def _rows(tensors: Tensors) -> int:
    return max((array.shape[0] for array in tensors.values() if array.ndim), default=0)


def _request(servable: Servable, record: bytes, path: Path) -> tuple[Signature, Tensors, list[str]]:
    """The signature, its inputs and the wanted outputs of a record."""
    try:
        log = prediction_log_pb2.PredictionLog.FromString(record)
    except Exception:  # protobuf's DecodeError moved between releases
        raise invalid(f"Failed to parse warmup record: {record!r} from {path}") from None
    kind = log.WhichOneof("log_type")
    if kind != "predict_log":
        raise StatusError(Code.UNIMPLEMENTED, f"Unsupported log_type for warmup: {kind}")
    request = log.predict_log.request
    name = request.model_spec.signature_name or "serving_default"
    if name not in servable.signatures:
        raise StatusError(Code.FAILED_PRECONDITION, f'Serving signature key "{name}" not found.')
    tensors = {key: from_proto(value, key) for key, value in request.inputs.items()}
    return servable.signatures[name], tensors, list(request.output_filter)
