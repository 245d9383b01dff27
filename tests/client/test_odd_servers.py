"""Answers that a client must live with: unknown values, missing fields, no signatures."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2, predict_pb2

from exporter.client import Client, RequestError, ServingError, SignatureInfo, TensorInfo, VersionStatus
from tests.client.stubs import GrpcStub, HttpStub, metadata_response


def test_the_init_op_and_unknown_dtypes_over_grpc(grpc_stub: GrpcStub) -> None:
    signatures = get_model_metadata_pb2.SignatureDefMap()
    init = signatures.signature_def["__saved_model_init_op"].outputs["__saved_model_init_op"]
    init.name = "NoOp"
    init.tensor_shape.unknown_rank = True
    odd = signatures.signature_def["odd"]
    odd.inputs["future"].dtype = 999
    odd.inputs["future"].tensor_shape.dim.add(size=-1)
    odd.inputs["sparse"].coo_sparse.values_tensor_name = "v"
    odd.outputs["small"].dtype = 24  # float8
    signatures.signature_def["empty"].SetInParent()
    grpc_stub.handlers = {"GetModelMetadata": lambda *_: metadata_response(signatures)}
    with Client(grpc_stub.url, "m") as client:
        assert client.metadata() == {
            "__saved_model_init_op": SignatureInfo(
                {}, {"__saved_model_init_op": TensorInfo("invalid", None)}
            ),
            "odd": SignatureInfo(
                {"future": TensorInfo("999", (None,)), "sparse": TensorInfo("invalid", ())},
                {"small": TensorInfo("24", ())},
            ),
            "empty": SignatureInfo({}, {}),
        }


def test_no_signatures_over_grpc(grpc_stub: GrpcStub) -> None:
    """Metadata without a map is as good as an empty one; a call goes out as its values are."""
    grpc_stub.handlers = {
        "GetModelMetadata": lambda *_: get_model_metadata_pb2.GetModelMetadataResponse(),
        "Predict": lambda *_: predict_pb2.PredictResponse(),
    }
    with Client(grpc_stub.url, "m") as client:
        assert client.metadata() == {}
        assert client.predict("s", {"x": [1]}) == {}
        with pytest.raises(ServingError, match="'serving_default' answers nothing, not generated_text"):
            client.generate(["a"])


def test_metadata_of_another_form_over_grpc(grpc_stub: GrpcStub) -> None:
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    response.metadata["signature_def"].value = b"\xff\xff\xff"
    grpc_stub.handlers = {"GetModelMetadata": lambda *_: response}
    with Client(grpc_stub.url, "m") as client, pytest.raises(RequestError, match="metadata of another form"):
        client.metadata()


def test_outputs_that_are_no_arrays_over_grpc(grpc_stub: GrpcStub) -> None:
    response = predict_pb2.PredictResponse()
    response.outputs["x"].dtype = 21
    grpc_stub.handlers = {
        "GetModelMetadata": lambda *_: metadata_response(get_model_metadata_pb2.SignatureDefMap()),
        "Predict": lambda *_: response,
    }
    with (
        Client(grpc_stub.url, "m") as client,
        pytest.raises(RequestError, match="'x': dtype variant has no array"),
    ):
        client.predict("s", {"x": [1]})


def test_status_over_grpc(grpc_stub: GrpcStub) -> None:
    response = get_model_status_pb2.GetModelStatusResponse()
    response.model_version_status.add(version=2, state=77).status.error_code = 99
    response.model_version_status.add()
    grpc_stub.handlers = {"GetModelStatus": lambda *_: response}
    with Client(grpc_stub.url, "m") as client:
        assert client.status() == [VersionStatus(2, "77", "99"), VersionStatus(0, "UNKNOWN")]


@pytest.mark.parametrize(
    ("signatures", "expected"),
    [
        ({}, {}),
        (None, {}),
        ([], {}),
        ({"a": {}}, {"a": SignatureInfo({}, {})}),
        ({"a": None}, {"a": SignatureInfo({}, {})}),
        ({"a": {"inputs": {"x": {}}}}, {"a": SignatureInfo({"x": TensorInfo("invalid", ())}, {})}),
        (
            {"a": {"inputs": {"x": {"dtype": 999, "tensor_shape": {"dim": [{"name": ""}, {"size": "-1"}]}}}}},
            {"a": SignatureInfo({"x": TensorInfo("999", (0, None))}, {})},
        ),
        (
            {"a": {"outputs": {"x": {"dtype": "DT_NEW", "tensor_shape": {"unknown_rank": True}}}}},
            {"a": SignatureInfo({}, {"x": TensorInfo("new", None)})},
        ),
    ],
)
def test_metadata_over_rest(stub: HttpStub, signatures: Any, expected: Any) -> None:
    stub.answer = (200, json.dumps({"metadata": {"signature_def": {"signature_def": signatures}}}).encode())
    with Client(stub.url, "m") as client:
        assert client.metadata() == expected


@pytest.mark.parametrize(
    ("call", "answer", "message"),
    [
        ("metadata", {}, "the answer has no 'metadata', only nothing"),
        ("status", {"x": 1}, "the answer has no 'model_version_status', only x"),
        ("status", {"model_version_status": [{"version": "new"}]}, "'new' where a number belongs"),
        ("predict", {"predictions": []}, "the answer has no 'outputs'"),
        ("predict", {"outputs": {"a": [[1], [1, 2]]}}, "output 'a' is no tensor in JSON"),
        ("predict", {"outputs": {"a": [{"b32": "x"}]}}, "output 'a' is no tensor in JSON"),
    ],
)
def test_answers_of_another_form_over_rest(stub: HttpStub, call: str, answer: Any, message: str) -> None:
    stub.answer = (200, json.dumps(answer).encode())
    with Client(stub.url, "m") as client, pytest.raises(RequestError, match=message):
        client.predict("s", {"x": ["a"]}) if call == "predict" else getattr(client, call)()


def test_status_with_missing_fields_over_rest(stub: HttpStub) -> None:
    stub.answer = (200, b'{"model_version_status": [{"state": "NEW"}, {"version": "3", "status": {}}]}')
    with Client(stub.url, "m") as client:
        assert client.status() == [VersionStatus(0, "NEW"), VersionStatus(3, "UNKNOWN")]


def test_a_nameless_output_without_metadata(stub: HttpStub) -> None:
    stub.answer = lambda path, body: (
        200,
        b'{"outputs": ["x"]}' if body else b'{"metadata": {"signature_def": {"signature_def": {}}}}',
    )
    with Client(stub.url, "m") as client, pytest.raises(RequestError, match="one nameless output"):
        client.predict("s", {"x": ["a"]})


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({"generated_text": ["a", "b"]}, r"'generated_text' has shape \[2\] for 1 rows"),
        ({"generated_text": "a"}, r"'generated_text' has shape \[\] for 1 rows"),
        ({"generated_text": ["a"], "num_tokens": [1, 2]}, r"'num_tokens' has shape \[2\] for 1 rows"),
        ({"text": ["a"], "x": ["a"]}, "answers text, x, not generated_text"),
    ],
)
def test_outputs_of_other_rows(stub: HttpStub, outputs: Any, message: str) -> None:
    stub.answer = (200, json.dumps({"outputs": outputs}).encode())
    with Client(stub.url, "m") as client, pytest.raises(ServingError, match=message):
        client.generate(["p"])
