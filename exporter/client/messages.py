"""The messages of TensorFlow Serving's API that a client needs, without TensorFlow.

Names and numbers are those of the published definitions (types.proto, tensor.proto and tensor_shape.proto of
tensorflow/core/framework, tensorflow/core/protobuf/meta_graph.proto, tensorflow_serving/apis/*.proto); fields
that no client of a text model uses are left out, and pass through a message unread.
"""

from __future__ import annotations

from typing import Any

from exporter.descriptors import Messages

CORE = Messages(
    "tensorflow",
    """
    enum DataType {
        DT_INVALID = 0; DT_FLOAT = 1; DT_DOUBLE = 2; DT_INT32 = 3; DT_UINT8 = 4; DT_INT16 = 5; DT_INT8 = 6;
        DT_STRING = 7; DT_COMPLEX64 = 8; DT_INT64 = 9; DT_BOOL = 10; DT_QINT8 = 11; DT_QUINT8 = 12;
        DT_QINT32 = 13; DT_BFLOAT16 = 14; DT_QINT16 = 15; DT_QUINT16 = 16; DT_UINT16 = 17; DT_COMPLEX128 = 18;
        DT_HALF = 19; DT_RESOURCE = 20; DT_VARIANT = 21; DT_UINT32 = 22; DT_UINT64 = 23;
    }
    message TensorShapeProto {
        message Dim { int64 size = 1; string name = 2; }
        repeated Dim dim = 2;
        bool unknown_rank = 3;
    }
    message TensorProto {
        DataType dtype = 1;
        TensorShapeProto tensor_shape = 2;
        int32 version_number = 3;
        bytes tensor_content = 4;
        repeated float float_val = 5;
        repeated double double_val = 6;
        repeated int32 int_val = 7;
        repeated bytes string_val = 8;
        repeated float scomplex_val = 9;
        repeated int64 int64_val = 10;
        repeated bool bool_val = 11;
        repeated double dcomplex_val = 12;
        repeated int32 half_val = 13;
        repeated uint32 uint32_val = 16;
        repeated uint64 uint64_val = 17;
    }
    message TensorInfo {
        oneof encoding { string name = 1; }
        DataType dtype = 2;
        TensorShapeProto tensor_shape = 3;
    }
    message SignatureDef {
        map<string, TensorInfo> inputs = 1;
        map<string, TensorInfo> outputs = 2;
        string method_name = 3;
        map<string, TensorProto> defaults = 4;
    }
    """,
)

SERVING = Messages(
    "tensorflow.serving",
    """
    message ModelSpec {
        string name = 1;
        oneof version_choice { google.protobuf.Int64Value version = 2; string version_label = 4; }
        string signature_name = 3;
    }
    message PredictRequest {
        ModelSpec model_spec = 1;
        map<string, tensorflow.TensorProto> inputs = 2;
        repeated string output_filter = 3;
    }
    message PredictResponse {
        map<string, tensorflow.TensorProto> outputs = 1;
        ModelSpec model_spec = 2;
    }
    message GetModelMetadataRequest { ModelSpec model_spec = 1; repeated string metadata_field = 2; }
    message GetModelMetadataResponse {
        ModelSpec model_spec = 1;
        map<string, google.protobuf.Any> metadata = 2;
    }
    message SignatureDefMap { map<string, tensorflow.SignatureDef> signature_def = 1; }
    message GetModelStatusRequest { ModelSpec model_spec = 1; }
    enum Code {  // tensorflow.error.Code
        OK = 0; CANCELLED = 1; UNKNOWN = 2; INVALID_ARGUMENT = 3; DEADLINE_EXCEEDED = 4; NOT_FOUND = 5;
        ALREADY_EXISTS = 6; PERMISSION_DENIED = 7; RESOURCE_EXHAUSTED = 8; FAILED_PRECONDITION = 9;
        ABORTED = 10; OUT_OF_RANGE = 11; UNIMPLEMENTED = 12; INTERNAL = 13; UNAVAILABLE = 14; DATA_LOSS = 15;
        UNAUTHENTICATED = 16;
    }
    message StatusProto { Code error_code = 1; string error_message = 2; }
    message ModelVersionStatus {
        enum State { UNKNOWN = 0; START = 10; LOADING = 20; AVAILABLE = 30; UNLOADING = 40; END = 50; }
        int64 version = 1;
        State state = 2;
        StatusProto status = 3;
    }
    message GetModelStatusResponse { repeated ModelVersionStatus model_version_status = 1; }
    """,
    imports=CORE,
)

#: Method -> its full name, request and response; all unary.
METHODS: dict[str, tuple[str, str, str]] = {
    "Predict": ("PredictionService", "PredictRequest", "PredictResponse"),
    "GetModelMetadata": ("PredictionService", "GetModelMetadataRequest", "GetModelMetadataResponse"),
    "GetModelStatus": ("ModelService", "GetModelStatusRequest", "GetModelStatusResponse"),
}


def new(name: str, **fields: Any) -> Any:
    """A message of ``tensorflow.serving``, e.g. ``new("PredictRequest")``."""
    return SERVING.new(name, **fields)


def call(channel: Any, method: str) -> Any:
    """The callable of a method on a channel, synchronous or of ``grpc.aio``."""
    service, request, response = METHODS[method]
    return channel.unary_unary(
        f"/{SERVING.package}.{service}/{method}",
        request_serializer=SERVING.message(request).SerializeToString,
        response_deserializer=SERVING.message(response).FromString,
    )


def enum_name(message: Any, field: str) -> str:
    """The name of an enum field's value; a value that these definitions do not know is its number."""
    number = getattr(message, field)
    value = message.DESCRIPTOR.fields_by_name[field].enum_type.values_by_number.get(number)
    return value.name if value else str(number)
