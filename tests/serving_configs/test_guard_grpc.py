"""The guard of the front on gRPC, in a real nginx: also messages that a careless reader reads otherwise."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2

from tests.serving_configs.front import PREDICT, TOKEN, Front


@pytest.fixture(scope="module")
def call(guarded: Front) -> Iterator[Callable[..., grpc.Call]]:
    """``call(bytes)`` sends one gRPC message through the front; gives the answer or the refusal."""
    credentials = grpc.ssl_channel_credentials(guarded.ca.read_bytes())
    with grpc.secure_channel(f"localhost:{guarded.port}", credentials) as channel:
        method = channel.unary_unary(PREDICT)

        def send(message: bytes, **options: Any) -> Any:
            try:
                return method(message, metadata=[("authorization", f"Bearer {TOKEN}")], timeout=20, **options)
            except grpc.RpcError as error:
                return error

        yield send


def request(signature: str, **inputs: Any) -> predict_pb2.PredictRequest:
    message = predict_pb2.PredictRequest()
    message.model_spec.name = "toy"
    message.model_spec.signature_name = signature
    for name, value in inputs.items():
        message.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    return message


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"text": tf.zeros([0], tf.string)}, 'input "text" has no rows'),
        ({"text": b"a"}, 'input "text" is not a list of rows'),
        ({}, "the request has no inputs"),
        ({"text": [b"a"] * 9}, 'the request has 9 rows; model "toy" takes at most 8'),
        ({"scale": [1.0], "count": [1, 2]}, "rows; every input must have as many"),
        ({"x": tf.zeros([0, 3])}, 'input "x" has no rows'),
    ],
)
def test_grpc_messages_that_are_refused(call: Any, inputs: Any, message: str) -> None:
    error = call(request("copy", **inputs).SerializeToString())
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert message in error.details()


def field(number: int, content: bytes) -> bytes:
    assert len(content) < 128
    return bytes([number * 8 + 2, len(content)]) + content


SHAPE = field(2, field(2, b"\x08\x01"))  # TensorProto.tensor_shape {dim {size: 1}}
EMPTY = field(2, field(2, b"\x08\x00"))
STRING = b"\x08\x07"  # TensorProto.dtype: DT_STRING
SPEC = field(1, field(1, b"toy") + field(3, b"copy"))


def entry(tensor: bytes, key: bytes = b"text") -> bytes:
    return field(2, field(1, key) + field(2, STRING + tensor))


@pytest.mark.parametrize(
    ("message", "refusal"),
    [
        (entry(SHAPE) + entry(EMPTY), 'input "text" stands twice'),
        (entry(EMPTY + SHAPE), "field text.tensor_shape stands twice"),
        (field(2, field(1, b"text") + field(2, EMPTY) + field(2, SHAPE)), "field text stands twice"),
        (entry(field(2, field(2, b"\x08\x01\x08\x00"))), "text.tensor_shape.dim.size stands twice"),
        (entry(field(2, field(2, b""))), 'input "text" has no rows'),
        (entry(field(2, field(2, b"\x08" + b"\x80" * 9 + b"\x02"))), "takes at most 8"),  # 2^64: 0 in 64 bits
        (entry(field(2, field(2, b"\x08" + b"\xff" * 9 + b"\x01"))), "takes at most 8"),  # -1
        (entry(field(2, field(2, b"\x88\x00\x00"))), 'input "text" has no rows'),  # a longer spelling of \x08
        (entry(field(2, field(2, b"\x88\x80\x80\x80\x10\x00"))), "not a PredictRequest"),  # beyond 32 bits
        (entry(SHAPE)[:-1], "not a PredictRequest"),
        (entry(SHAPE) + b"\xff" * 11, "not a PredictRequest"),
        (entry(SHAPE) + b"\x13\x14", "not a PredictRequest"),  # a group
        (SPEC + entry(SHAPE), "field model_spec stands twice"),
        (b"", "the request has no inputs"),
        (b"\x20\x00" * 100_001, "the body has more than 100000 fields"),
    ],
)
def test_grpc_messages_made_by_hand(call: Any, message: bytes, refusal: str) -> None:
    """Spellings of which protocol buffers keep another one of two values than a careless reader."""
    error = call(SPEC + message)
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert refusal in error.details()


def test_what_the_server_would_have_read() -> None:
    """The bytes above are not merely damaged: most of them are empty batches to protocol buffers."""
    for tensor in (
        EMPTY + SHAPE,
        field(2, field(2, b"\x08\x01\x08\x00")),
        field(2, field(2, b"\x88\x00\x00")),
    ):
        message = predict_pb2.PredictRequest.FromString(SPEC + entry(tensor))
        assert message.inputs["text"].tensor_shape.dim[0].size == 0
    twice = predict_pb2.PredictRequest.FromString(SPEC + entry(SHAPE) + entry(EMPTY))
    assert twice.inputs["text"].tensor_shape.dim[0].size == 0


def test_grpc_frames(call: Any) -> None:
    message = request("copy", text=[b"a"])
    assert predict_pb2.PredictResponse.FromString(call(message.SerializeToString())).outputs["copy"]
    # Unknown fields of every kind, as newer clients may send them.
    unknown = b"\xf8\x07\x05" + b"\xfa\x07\x01a" + b"\xf9\x07" + b"\0" * 8 + b"\xfd\x07" + b"\0" * 4
    assert predict_pb2.PredictResponse.FromString(call(message.SerializeToString() + unknown)).outputs["copy"]
    error = call(request("copy", text=[b"a" * 1000]).SerializeToString(), compression=grpc.Compression.Gzip)
    assert (error.code(), error.details()) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "compressed requests are not taken",
    )
    many = request("serving_default", text=[b"caf\xc3\xa9"] * 8, other=[1.0] * 8)
    error = call(many.SerializeToString())
    assert "Sent extra: {other}" in error.details()  # the server's own answer


def test_the_largest_message_is_read_whole(call: Any) -> None:
    text = b"a" * (2**20 - 100)
    answer = predict_pb2.PredictResponse.FromString(call(request("copy", text=[text]).SerializeToString()))
    assert list(answer.outputs["copy"].string_val) == [text]


def test_an_input_name_may_hold_anything(call: Any) -> None:
    name = 'né"\n%'
    error = call(request("copy", **{name: tf.zeros([0])}).SerializeToString())
    assert error.details() == f'input "{name}" has no rows; send at least one'
