"""Replays ``assets.extra/tf_serving_warmup_requests``, as the server does before a version is AVAILABLE."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from exporter.preview.servable import Servable
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


def replay(servable: Servable) -> int:
    """Sends every record, one at a time, through the servable's batcher; returns how many.

    Raises:
      StatusError: a record that is damaged, of another API, or that fails.
    """
    path = servable.directory / WARMUP_PATH
    count = 0
    for record in _records(path) if path.exists() else ():
        count += 1
        if count > MAX_RECORDS:
            raise invalid(f"Number of warmup records exceeds the maximum ({MAX_RECORDS}) at {path}")
        _replay_record(servable, record, path)
    return count


def _replay_record(servable: Servable, record: bytes, path: Path) -> None:
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
    servable.predict(servable.signatures[name], tensors, list(request.output_filter))
