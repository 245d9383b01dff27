"""Small SavedModels that do what text models do: strings, ragged rows, a compiled function, errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

TEXTS = tf.TensorSpec([None], tf.string, name="text")


class Toy(tf.Module):
    """Signatures for the tests; ``version`` shows in the answers."""

    def __init__(self, version: int) -> None:
        super().__init__()
        self.version = version
        self.weights = tf.Variable(np.arange(6, dtype=np.float32).reshape(3, 2), trainable=False)

    @tf.function(input_signature=[TEXTS])
    def serving_default(self, text: Any) -> dict[str, Any]:
        """Text in, text and counts out; "bad..." is a row error, "boom" fails the whole batch."""
        with tf.control_dependencies(
            [tf.debugging.assert_none_equal(text, "boom", message="boom is refused")]
        ):
            upper = tf.strings.upper(text, encoding="utf-8")
        refused = tf.strings.regex_full_match(text, "bad.*")
        return {
            "generated_text": tf.where(refused, "", tf.strings.join([upper, f" v{self.version}"])),
            "num_tokens": tf.where(refused, 0, tf.strings.length(text)),
            "finish_reason": tf.where(refused, "error", "stop"),
            "error": tf.where(refused, tf.strings.join(["refused: ", text]), ""),
        }

    @tf.function(input_signature=[TEXTS])
    def encode(self, text: Any) -> dict[str, Any]:
        """Ragged rows, padded to the longest: bytes as ids."""
        rows = (
            tf.io.decode_raw(text[:0], tf.uint8)[:0] if text.shape.rank == 0 else tf.strings.bytes_split(text)
        )
        ids = tf.ragged.map_flat_values(
            lambda byte: tf.cast(tf.io.decode_raw(byte, tf.uint8)[:, 0], tf.int32), rows
        )
        return {"input_ids": ids.to_tensor(), "num_tokens": tf.cast(rows.row_lengths(), tf.int32)}

    @tf.function(jit_compile=True, input_signature=[tf.TensorSpec([None, 3], tf.float32)])
    def _product(self, x: Any) -> Any:
        return tf.matmul(x, self.weights)

    @tf.function(input_signature=[tf.TensorSpec([None, 3], tf.float32, name="x")])
    def compiled(self, x: Any) -> dict[str, Any]:
        return {"y": self._product(x)}

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.float32, name="scale"),
            tf.TensorSpec([None], tf.int64, name="count"),
            tf.TensorSpec([None], tf.bool, name="negate"),
        ]
    )
    def pair(self, scale: Any, count: Any, negate: Any) -> dict[str, Any]:
        product = scale * tf.cast(count, tf.float32)
        return {"product": tf.where(negate, -product, product), "count": count}

    @tf.function(input_signature=[TEXTS])
    def binary(self, text: Any) -> dict[str, Any]:
        """Answers the same bytes under a name that says "bytes"."""
        return {"copy_bytes": tf.identity(text)}

    @tf.function(input_signature=[TEXTS])
    def copy(self, text: Any) -> dict[str, Any]:
        return {"copy": tf.identity(text)}

    @tf.function(input_signature=[TEXTS])
    def scalar(self, text: Any) -> dict[str, Any]:
        """An output without a batch dimension."""
        return {"rows": tf.size(text)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int32, name="steps")])
    def slow(self, steps: Any) -> dict[str, Any]:
        """Works for a while: about a second per million steps."""
        total = tf.while_loop(
            lambda step, _: step < tf.reduce_max(steps),
            lambda step, value: (step + 1, tf.sin(value) + 1.0),
            (0, tf.constant(0.0)),
        )[1]
        return {"steps": tf.where(total > 3.0, steps * 0, steps)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def halves(self, x: Any) -> dict[str, Any]:
        return {"single": x / 2.0, "double": tf.cast(x, tf.float64) / 2.0}


SIGNATURES = ("serving_default", "encode", "compiled", "pair", "binary", "copy", "scalar", "slow", "halves")


def save(base: Path, version: int, *, number: int | None = None) -> Path:
    """Writes ``base/VERSION``; ``number`` is the folder's where it differs from what the answers say."""
    toy = Toy(version)
    directory = base / str(number if number is not None else version)
    signatures = {name: getattr(toy, name) for name in SIGNATURES}
    tf.saved_model.save(toy, str(directory), signatures=signatures)
    return directory


def write_warmup(directory: Path, requests: list[tuple[str, dict[str, Any]]]) -> None:
    """Writes warmup records: (signature, inputs) each."""
    path = directory / "assets.extra" / "tf_serving_warmup_requests"
    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature, inputs in requests:
            request = predict_pb2.PredictRequest()
            request.model_spec.signature_name = signature
            for name, value in inputs.items():
                request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
            log = prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))
            writer.write(log.SerializeToString())


def models_config(*models: str) -> str:
    """The text of a models.config from the bodies of its models."""
    return "model_config_list {\n" + "".join(f"  config {{ {body} }}\n" for body in models) + "}\n"
