"""Warmup records: the requests a server replays before it reports ready, so that nothing compiles after.

Written as TensorFlow Serving reads them: a TFRecord file of serialized PredictionLog messages in
``assets.extra/tf_serving_warmup_requests``, at most 1000 records
(https://www.tensorflow.org/tfx/serving/saved_model_warmup).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from exporter.errors import OptionError
from exporter.generation.rows import ROW_FIELDS
from exporter.manifest import Buckets, SignatureInfo
from exporter.saved_model.records import Record

WARMUP_PATH = Path("assets.extra") / "tf_serving_warmup_requests"
#: Per-row options of the warmup rows: sampling, so that its branch runs too; the rest is neutral.
_WARM_ROW = {"max_new_tokens": 1, "temperature": 1.0}
Request = tuple[str, dict[str, Any]]  # signature name, input name -> nested list or array


def warmup_requests(
    records: Sequence[Record], signatures: Mapping[str, SignatureInfo], texts: Mapping[int, str]
) -> list[Request]:
    """The requests of ``records``, each with exactly its rows.

    Args:
      records: which requests.
      signatures: the exported signatures.
      texts: prompt length bucket -> a text that falls into it.
    """
    return [
        (record.signature, _inputs(signatures[record.signature], record.length, record.rows, texts))
        for record in records
    ]


def _inputs(signature: SignatureInfo, length: int, rows: int, texts: Mapping[int, str]) -> dict[str, Any]:
    """Neutral inputs of one signature that fill ``rows`` rows of length bucket ``length``."""
    values: dict[str, Any] = {}
    for name, info in signature.inputs.items():
        if name == "text":
            values[name] = [texts[length].encode()] * rows
        elif name == "input_ids":
            values[name] = [[0] * (info.shape[1] or length)] * rows
        elif name == "num_tokens":
            values[name] = [length] * rows
        elif name == "continuation":
            values[name] = [texts[min(texts)][:1].encode()] * rows
        elif name in ROW_FIELDS:
            values[name] = [_WARM_ROW.get(name, ROW_FIELDS[name].neutral)] * rows
        else:
            raise NotImplementedError(f"no warmup value for input {name!r}")
    return values


def bucket_texts(count_tokens: Any, buckets: Buckets, lengths: Collection[int]) -> dict[int, str]:
    """For each of some length buckets a text whose token count falls into it.

    Args:
      count_tokens: ``(text) -> int``.
      buckets: all buckets.
      lengths: those that need a text.

    Raises:
      OptionError: a bucket that no repetition of the sample words reaches exactly enough.
    """
    texts = {}
    below = 0
    for length in buckets.prompt_lengths:
        if length in lengths:
            texts[length] = _text_between(count_tokens, below + 1, length)
        below = length
    return texts


def _text_between(count_tokens: Any, low: int, high: int) -> str:
    for word in ("a ", "1 ", "the story ", "x\n"):
        # Token counts grow with the repetitions: bisect for the most that still fit.
        fits, too_many = 1, high + 1
        while too_many - fits > 1:
            middle = (fits + too_many) // 2
            fits, too_many = (middle, too_many) if count_tokens(word * middle) <= high else (fits, middle)
        if low <= count_tokens(word * fits) <= high:
            return word * fits
    raise OptionError(
        f"prompt_lengths: no sample text of {low} to {high} tokens was found for the warmup records; "
        "give buckets further apart, or --warmup none"
    )


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
