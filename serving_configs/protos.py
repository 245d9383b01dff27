"""The server's configuration messages, and their text format.

``tensorflow-serving-api`` ships model_server_config. The other messages that the server reads from text files
are not in every version of the package, so their descriptors are built here from the documented fields
(session_bundle_config.proto, platform_config.proto, monitoring_config.proto, ssl_config.proto): enough
to write the files with the protobuf library and to parse them back with its strictness.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from google.protobuf import (
    any_pb2,
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
    wrappers_pb2,
)
from tensorflow_serving.config import model_server_config_pb2

ModelServerConfig = model_server_config_pb2.ModelServerConfig

_PACKAGE = "tensorflow.serving"
# message -> ((field, number, type, repeated), ...); a message type is capitalised, or absolute with a dot.
_INT64 = ".google.protobuf.Int64Value"
_MESSAGES: dict[str, tuple[tuple[str, int, str, bool], ...]] = {
    "BatchingParameters": (
        ("max_batch_size", 1, _INT64, False),
        ("batch_timeout_micros", 2, _INT64, False),
        ("max_enqueued_batches", 3, _INT64, False),
        ("num_batch_threads", 4, _INT64, False),
        ("thread_pool_name", 5, ".google.protobuf.StringValue", False),
        ("allowed_batch_sizes", 6, "int64", True),
        ("pad_variable_length_inputs", 7, "bool", False),
        ("enable_large_batch_splitting", 8, ".google.protobuf.BoolValue", False),
        ("max_execution_batch_size", 9, _INT64, False),
    ),
    "PrometheusConfig": (("enable", 1, "bool", False), ("path", 2, "string", False)),
    "MonitoringConfig": (("prometheus_config", 1, "PrometheusConfig", False),),
    "SSLConfig": (
        ("server_key", 1, "string", False),
        ("server_cert", 2, "string", False),
        ("custom_ca", 3, "string", False),
        ("client_verify", 4, "bool", False),
    ),
    # The part of tensorflow.ConfigProto that we set, under its own field numbers.
    "GpuOptions": (
        ("per_process_gpu_memory_fraction", 1, "double", False),
        ("allow_growth", 4, "bool", False),
    ),
    "SessionConfig": (
        ("intra_op_parallelism_threads", 2, "int32", False),
        ("inter_op_parallelism_threads", 5, "int32", False),
        ("gpu_options", 6, "GpuOptions", False),
    ),
    "SessionBundleConfig": (
        ("session_config", 2, "SessionConfig", False),
        ("batching_parameters", 3, "BatchingParameters", False),
        ("saved_model_tags", 5, "string", True),
        ("enable_model_warmup", 779, "bool", False),
    ),
    "SavedModelBundleSourceAdapterConfig": (("legacy_config", 1000, "SessionBundleConfig", False),),
    "PlatformConfig": (("source_adapter_config", 1, ".google.protobuf.Any", False),),
    # A map on the wire is a repeated message of keys and values.
    "PlatformConfigMap": (("platform_configs", 1, "PlatformConfigMap.PlatformConfigsEntry", True),),
}


def _field(name: str, number: int, kind: str, repeated: bool) -> descriptor_pb2.FieldDescriptorProto:
    field = descriptor_pb2.FieldDescriptorProto(name=name, number=number)
    field.label = field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL
    if kind[0] == "." or kind[0].isupper():
        field.type = field.TYPE_MESSAGE
        field.type_name = kind if kind[0] == "." else f".{_PACKAGE}.{kind}"
    else:
        field.type = getattr(field, f"TYPE_{kind.upper()}")
    return field


@cache
def _pool() -> descriptor_pool.DescriptorPool:
    """A pool of its own: the real descriptors may be registered by other packages in the default pool."""
    pool = descriptor_pool.DescriptorPool()
    for dependency in (wrappers_pb2, any_pb2):
        pool.AddSerializedFile(dependency.DESCRIPTOR.serialized_pb)
    file = descriptor_pb2.FileDescriptorProto(
        name="genserve/serving_messages.proto", package=_PACKAGE, syntax="proto3"
    )
    file.dependency.extend(["google/protobuf/any.proto", "google/protobuf/wrappers.proto"])
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name, field=[_field(*field) for field in fields])
        if name == "PlatformConfigMap":
            entry = [_field("key", 1, "string", False), _field("value", 2, "PlatformConfig", False)]
            message.nested_type.add(name="PlatformConfigsEntry", field=entry).options.map_entry = True
    pool.Add(file)
    return pool


def new(name: str, **fields: Any) -> Any:
    """A message of this module by name, e.g. ``new("MonitoringConfig")``."""
    return message_factory.GetMessageClass(_pool().FindMessageTypeByName(f"{_PACKAGE}.{name}"))(**fields)


def to_text(message: Any) -> str:
    """The text format, as the server's ``TextFormat::Parse`` reads it."""
    return text_format.MessageToString(message, descriptor_pool=_pool())


def from_text(text: str, message: Any) -> Any:
    """Parses into ``message`` and returns it; raises ``google.protobuf.text_format.ParseError``."""
    return text_format.Parse(text, message, descriptor_pool=_pool())
