"""Warmup records: the requests a server replays before it reports ready, so that nothing compiles after.

Written as TensorFlow Serving reads them: a TFRecord file of serialized PredictionLog messages in
``assets.extra/tf_serving_warmup_requests``, at most 1000 records
(https://www.tensorflow.org/tfx/serving/saved_model_warmup).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from exporter.generation.rows import row_fields
from exporter.manifest import SignatureInfo, TensorInfo
from exporter.saved_model.records import Record

WARMUP_PATH = Path("assets.extra") / "tf_serving_warmup_requests"
#: What no signature takes for a text, or for a number of tokens: the row answers with its error.
_NO_TEXT, _NO_COUNT = b"\xff", -1
Request = tuple[str, dict[str, Any]]  # signature name, input name -> nested list or array


def warmup_requests(records: Sequence[Record], signatures: Mapping[str, SignatureInfo]) -> list[Request]:
    """The requests of ``records``, each with exactly its rows."""
    return [(record.signature, _inputs(record, signatures[record.signature])) for record in records]


def _inputs(record: Record, signature: SignatureInfo) -> dict[str, Any]:
    """Of ``warm_up`` the record's bucket and one token; of other signatures a row with an error."""
    known = {
        "program": record.program,
        "prompt_tokens": record.length,
        "new_tokens": 1,
        "num_tokens": _NO_COUNT,
        **{name: field.neutral for name, field in row_fields(extras=True, pieces=True, guides=True).items()},
    }
    return {
        name: [_row(info, _NO_TEXT if info.dtype == "string" else known.get(name, 0))] * record.rows
        for name, info in signature.inputs.items()
    }


def _row(info: TensorInfo, value: Any) -> Any:
    """One row of an input: the value, or a row of it."""
    return value if len(info.shape) == 1 else [value] * (info.shape[1] or 1)


def write_warmup(
    directory: Path, name: str, requests: list[Request], infos: Mapping[str, SignatureInfo]
) -> None:
    """Writes the record file of servable ``name`` into a version directory."""
    if not requests:
        return
    path = directory / WARMUP_PATH
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in _records(name, requests, infos):
            writer.write(record)


def _records(name: str, requests: list[Request], infos: Mapping[str, SignatureInfo]) -> Iterator[bytes]:
    from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

    for signature, inputs in requests:
        request = predict_pb2.PredictRequest()
        request.model_spec.name = name
        request.model_spec.signature_name = signature
        for key, value in inputs.items():
            info = infos[signature].inputs[key]
            request.inputs[key].CopyFrom(tf.make_tensor_proto(value, dtype=tf.as_dtype(info.dtype)))
        log = prediction_log_pb2.PredictionLog()
        log.predict_log.request.CopyFrom(request)
        yield log.SerializeToString()
