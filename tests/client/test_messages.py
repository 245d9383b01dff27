"""Our definitions against TensorFlow Serving's: every message, field and enum value, and the bytes."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from google.protobuf import descriptor_pool
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2, predict_pb2
from tensorflow_serving.config import model_server_config_pb2  # noqa: F401  registers its messages

from exporter.client import messages
from exporter.descriptors import Messages
from serving_configs import protos

ORACLE = descriptor_pool.Default()
# Only ours: a part of tensorflow.ConfigProto, and what tensorflow-serving-api does not ship.
NOT_SHIPPED = {
    "BatchingParameters",
    "PrometheusConfig",
    "MonitoringConfig",
    "SSLConfig",
    "GpuOptions",
    "SessionConfig",
    "SessionBundleConfig",
    "SavedModelBundleSourceAdapterConfig",
    "PlatformConfig",
    "PlatformConfigMap",
}
ALL = [
    pytest.param(kind, name, id=f"{kind.package}.{name}")
    for kind in (messages.CORE, messages.SERVING, protos.MESSAGES)
    for name in kind.names()
    if name not in NOT_SHIPPED
]


@pytest.mark.parametrize(("kind", "name"), ALL)
def test_definitions(kind: Messages, name: str) -> None:
    _compare(kind.descriptor(name), ORACLE.FindMessageTypeByName(f"{kind.package}.{name}"))


def _compare(ours: Any, theirs: Any) -> None:
    for field in ours.fields:
        other = theirs.fields_by_name[field.name]
        facts = [
            (
                item.number,
                item.type,
                _label(item),
                getattr(item.containing_oneof, "name", None),
                item.is_packed,
            )
            for item in (field, other)
        ]
        assert facts[0] == facts[1], field.full_name
        if field.enum_type is not None:
            known = {value.name: value.number for value in other.enum_type.values}
            for value in field.enum_type.values:
                assert known[value.name] == value.number, value.name
        if field.message_type is not None:
            assert field.message_type.full_name == other.message_type.full_name
    for nested in ours.nested_types:
        assert (
            nested.GetOptions().map_entry == theirs.nested_types_by_name[nested.name].GetOptions().map_entry
        )
        _compare(nested, theirs.nested_types_by_name[nested.name])


def _label(field: Any) -> Any:
    return field.is_repeated if hasattr(field, "is_repeated") else field.label


def _request(new: Any) -> Any:
    request = new()
    request.model_spec.name = "m"
    request.model_spec.version.value = 3
    request.model_spec.signature_name = "s"
    request.output_filter.extend(["a", "b"])
    tensor = request.inputs["x"]
    tensor.dtype = 7
    tensor.tensor_shape.dim.add(size=-1, name="batch")
    tensor.string_val.extend([b"\x00", b"\xff"])
    tensor.float_val.extend([1.5, -2.0])
    tensor.int64_val.extend([2**60, -1])
    return request


def _signatures(new: Any) -> Any:
    signatures = new()
    definition = signatures.signature_def["serving_default"]
    definition.method_name = "tensorflow/serving/predict"
    definition.inputs["text"].name = "text:0"
    definition.inputs["text"].dtype = 7
    definition.outputs["__saved_model_init_op"].tensor_shape.unknown_rank = True
    return signatures


def _status(new: Any) -> Any:
    response = new()
    item = response.model_version_status.add(version=2, state=30)
    item.status.error_code = 14
    item.status.error_message = "full"
    return response


@pytest.mark.parametrize(
    ("name", "theirs", "fill"),
    [
        ("PredictRequest", predict_pb2.PredictRequest, _request),
        ("SignatureDefMap", get_model_metadata_pb2.SignatureDefMap, _signatures),
        ("GetModelStatusResponse", get_model_status_pb2.GetModelStatusResponse, _status),
    ],
)
def test_bytes_both_ways(name: str, theirs: Any, fill: Any) -> None:
    ours = messages.SERVING.message(name)
    mine, other = fill(ours), fill(theirs)
    assert theirs.FromString(mine.SerializeToString(deterministic=True)) == other
    assert ours.FromString(other.SerializeToString(deterministic=True)) == mine
    assert mine.SerializeToString(deterministic=True) == other.SerializeToString(deterministic=True)


def test_fields_that_we_do_not_know_pass_through() -> None:
    request = predict_pb2.PredictRequest(client_id=b"abc")
    request.inputs["x"].resource_handle_val.add(name="r")
    passed = messages.SERVING.message("PredictRequest").FromString(request.SerializeToString())
    assert predict_pb2.PredictRequest.FromString(passed.SerializeToString()) == request


def test_ours_before_theirs_in_one_process() -> None:
    """This process has them the other way round."""
    code = (
        "from exporter.client import messages; messages.new('PredictRequest'); "
        "from tensorflow_serving.apis import predict_pb2; predict_pb2.PredictRequest()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
