"""Bad requests over gRPC: the right code and the server's message, and the next request is answered.

The messages and codes are those of TensorFlow Serving's sources (json_tensor.cc, predict_util.cc, server_core.cc).
"""

# ruff: noqa: E501  (tables of messages)

from __future__ import annotations

from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from exporter.client import GrpcClient, RequestError, RestClient
from exporter.preview.server import PreviewServer


def request(server: PreviewServer, **inputs: Any) -> predict_pb2.PredictRequest:
    message = predict_pb2.PredictRequest()
    message.model_spec.name = "toy"
    for name, value in inputs.items():
        message.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    return message


def check_call(server: PreviewServer, message: Any, code: grpc.StatusCode, *parts: str) -> None:
    """The call's status, and that the server still answers."""
    with grpc.insecure_channel(server.grpc_target) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        with pytest.raises(grpc.RpcError) as caught:
            stub.Predict(message, timeout=20)
        assert caught.value.code() is code
        for part in parts:
            assert part in caught.value.details()
        answer = stub.Predict(request(server, text=["a"]), timeout=20)
        assert list(answer.outputs["generated_text"].string_val) == [b"A v2"]
        assert answer.model_spec.version.value == 2
        assert answer.model_spec.signature_name == "serving_default"


INVALID = grpc.StatusCode.INVALID_ARGUMENT


def test_grpc_missing_and_extra_inputs(server: PreviewServer) -> None:
    both = request(server, text=["a"], more=["b"])
    check_call(
        server,
        both,
        INVALID,
        "input size does not match signature: 2!=1 len({more,text}) != len({text}). "
        "Sent extra: {more}. Missing but required: {}.",
    )
    check_call(server, request(server), INVALID, "Sent extra: {}. Missing but required: {text}.")
    check_call(
        server,
        request(server, txt=["a"]),
        INVALID,
        "input tensor alias not found in signature: txt. Inputs expected to be in the set {text}.",
    )


def test_grpc_dtypes_ranks_and_parsing(server: PreviewServer) -> None:
    check_call(
        server, request(server, text=[1.0]), INVALID, "Expects arg[0] to be string but float is provided"
    )
    check_call(server, request(server, text="a"), INVALID, "input 'text' has shape []")
    broken = request(server, text=["a"])
    broken.inputs["text"].tensor_shape.dim[0].size = 1
    broken.inputs["text"].string_val.extend([b"b", b"c"])
    check_call(server, broken, INVALID, "tensor parsing error: text")
    broken.inputs["text"].dtype = 0
    check_call(server, broken, INVALID, "tensor parsing error: text")
    content = request(server, text=["a"])
    content.model_spec.signature_name = "compiled"
    content.inputs.clear()
    content.inputs["x"].CopyFrom(tf.make_tensor_proto(np.ones((1, 3), np.float32)))
    content.inputs["x"].tensor_content = b"123"
    check_call(server, content, INVALID, "tensor parsing error: x")


def test_grpc_repeats_the_last_value(server: PreviewServer) -> None:
    """A TensorProto may hold fewer values than elements."""
    message = predict_pb2.PredictRequest()
    message.model_spec.name = "toy"
    message.model_spec.signature_name = "copy"
    message.inputs["text"].dtype = tf.string.as_datatype_enum
    message.inputs["text"].tensor_shape.dim.add(size=3)
    message.inputs["text"].string_val.append(b"a")
    with grpc.insecure_channel(server.grpc_target) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        assert list(stub.Predict(message).outputs["copy"].string_val) == [b"a", b"a", b"a"]
        message.inputs["text"].ClearField("string_val")
        assert list(stub.Predict(message).outputs["copy"].string_val) == [b"", b"", b""]


def test_grpc_models_versions_and_signatures(server: PreviewServer) -> None:
    missing = request(server, text=["a"])
    missing.ClearField("model_spec")
    check_call(server, missing, INVALID, "Missing ModelSpec")
    for change, code, part in (
        ({"name": "nope"}, grpc.StatusCode.NOT_FOUND, "Servable not found for request: Latest(nope)"),
        ({"version_label": "nope"}, INVALID, "Unrecognized servable version label: nope"),
        (
            {"signature_name": "nope"},
            grpc.StatusCode.FAILED_PRECONDITION,
            'Serving signature key "nope" not found.',
        ),
    ):
        message = request(server, text=["a"])
        for name, value in change.items():
            setattr(message.model_spec, name, value)
        check_call(server, message, code, part)
    message = request(server, text=["a"])
    message.model_spec.version.value = 9
    check_call(server, message, grpc.StatusCode.NOT_FOUND, "Servable not found for request: Specific(toy, 9)")


def test_grpc_output_filters(server: PreviewServer) -> None:
    message = request(server, text=["a"])
    message.output_filter.extend(["nope"])
    check_call(server, message, INVALID, "output tensor alias not found in signature: nope Outputs expected")
    message.output_filter[:] = ["error", "error"]
    check_call(server, message, INVALID, "duplicate output tensor alias: error")


def test_grpc_errors_of_the_graph_are_cut_to_fit_a_header(server: PreviewServer) -> None:
    check_call(server, request(server, text=["boom"]), INVALID, "boom is refused")
    long = request(server, text=["a"])
    long.model_spec.name = "n" * 5000
    check_call(server, long, grpc.StatusCode.NOT_FOUND, "... (truncated)")


def test_grpc_other_calls(server: PreviewServer) -> None:
    with grpc.insecure_channel(server.grpc_target) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        for method, message, code, part in (
            (
                stub.Classify,
                classification_pb2.ClassificationRequest(),
                grpc.StatusCode.UNIMPLEMENTED,
                "Classify",
            ),
            (
                stub.GetModelMetadata,
                get_model_metadata_pb2.GetModelMetadataRequest(),
                INVALID,
                "Missing ModelSpec",
            ),
        ):
            with pytest.raises(grpc.RpcError, match=part) as caught:
                method(message)
            assert caught.value.code() is code
        metadata = get_model_metadata_pb2.GetModelMetadataRequest()
        metadata.model_spec.name = "toy"
        with pytest.raises(grpc.RpcError, match="must specify at least one metadata_field"):
            stub.GetModelMetadata(metadata)
        metadata.metadata_field.append("weights")
        with pytest.raises(grpc.RpcError, match="Metadata field weights is not supported"):
            stub.GetModelMetadata(metadata)


def test_grpc_health(server: PreviewServer) -> None:
    """Messages by hand: HealthCheckRequest{service = 1}, HealthCheckResponse{status = 1: SERVING}."""
    with grpc.insecure_channel(server.grpc_target) as channel:
        check = channel.unary_unary("/grpc.health.v1.Health/Check")
        assert check(b"") == b"\x08\x01"
        name = b"tensorflow.serving.PredictionService"
        assert check(b"\x0a" + bytes([len(name)]) + name) == b"\x08\x01"
        with pytest.raises(grpc.RpcError) as caught:
            check(b"\x0a\x01x")
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_client_errors_carry_the_servers_code_and_message(server: PreviewServer) -> None:
    for client in (RestClient(server.rest_url, "nope"), GrpcClient(server.grpc_target, "nope")):
        with pytest.raises(RequestError, match="Could not find any versions of model nope") as caught:
            client.status()
        assert caught.value.code == "NOT_FOUND"
    with pytest.raises(RequestError, match="boom is refused") as caught:
        RestClient(server.rest_url, "toy").generate(["boom"])
    assert (caught.value.code, caught.value.http_status) == ("INVALID_ARGUMENT", 400)
