"""The gRPC services: PredictionService and ModelService of TensorFlow Serving."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn

import grpc
from google.protobuf import wrappers_pb2
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_management_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from exporter.errors import ServingError
from exporter.preview import model_config
from exporter.preview.core import Core, ModelSpec
from exporter.preview.servable import DEFAULT_SIGNATURE
from exporter.preview.status import Code, StatusError, invalid
from exporter.preview.tensors import from_proto, to_proto

PREDICTION_SERVICE = "tensorflow.serving.PredictionService"
MODEL_SERVICE = "tensorflow.serving.ModelService"

# The server cuts longer messages: they travel in a header.
_MESSAGE_LIMIT = 1024
# 2 GiB, the size limit of a protocol buffer.
_OPTIONS = [
    ("grpc.max_receive_message_length", 2**31 - 1),
    ("grpc.max_send_message_length", 2**31 - 1),
    ("grpc.so_reuseport", 0),  # a port in use is an error, not shared
]


def _abort(context: Any, error: StatusError) -> NoReturn:
    message = error.message
    if len(message) > _MESSAGE_LIMIT:
        message = message[:_MESSAGE_LIMIT] + "... (truncated)"
    context.abort(next(code for code in grpc.StatusCode if code.value[0] == int(error.code)), message)
    raise AssertionError("context.abort returns never")


def _guarded(method: Any) -> Any:
    """Turns a handler's errors into the call's status."""

    def call(self: Any, request: Any, context: Any) -> Any:
        try:
            return method(self, request)
        except StatusError as error:
            _abort(context, error)
        except Exception as error:  # a fault of this server must look like one
            _abort(context, StatusError(Code.INTERNAL, f"{type(error).__name__}: {error}"))

    return call


def _spec(request: Any) -> ModelSpec:
    if not request.HasField("model_spec"):
        raise invalid("Missing ModelSpec")
    spec = request.model_spec
    choice = spec.WhichOneof("version_choice")
    return ModelSpec(
        spec.name,
        spec.version.value if choice == "version" else None,
        spec.version_label if choice == "version_label" else None,
    )


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Predict and GetModelMetadata; the APIs on tf.Example answer UNIMPLEMENTED."""

    def __init__(self, core: Core) -> None:
        self._core = core

    @_guarded
    def Predict(self, request: Any) -> Any:  # noqa: N802
        spec = _spec(request)
        servable = self._core.find(spec)
        name = request.model_spec.signature_name or DEFAULT_SIGNATURE
        tensors = {key: from_proto(value, key) for key, value in request.inputs.items()}
        outputs = self._core.predict(servable, name, tensors, list(request.output_filter), entrypoint="GRPC")
        response = predict_pb2.PredictResponse()
        response.model_spec.name = servable.name
        response.model_spec.version.value = servable.version
        response.model_spec.signature_name = name
        for key, array in outputs.items():
            response.outputs[key].CopyFrom(to_proto(array))
        return response

    @_guarded
    def GetModelMetadata(self, request: Any) -> Any:  # noqa: N802
        return self._core.metadata(_spec(request), list(request.metadata_field))

    @_guarded
    def Classify(self, request: Any) -> Any:  # noqa: N802
        raise StatusError(Code.UNIMPLEMENTED, "the preview server does not implement Classify")

    @_guarded
    def Regress(self, request: Any) -> Any:  # noqa: N802
        raise StatusError(Code.UNIMPLEMENTED, "the preview server does not implement Regress")

    @_guarded
    def MultiInference(self, request: Any) -> Any:  # noqa: N802
        raise StatusError(Code.UNIMPLEMENTED, "the preview server does not implement MultiInference")


class ModelService:
    """GetModelStatus and HandleReloadConfigRequest."""

    def __init__(self, core: Core) -> None:
        self._core = core

    @_guarded
    def GetModelStatus(self, request: Any) -> Any:  # noqa: N802
        return self._core.status(_spec(request))

    @_guarded
    def HandleReloadConfigRequest(self, request: Any) -> Any:  # noqa: N802
        try:
            configs = model_config.from_message(request.config, self._core.model_root)
        except ServingError as error:
            raise invalid(str(error)) from None
        self._core.manager.apply(configs)
        return model_management_pb2.ReloadConfigResponse()

    def handler(self) -> Any:
        """The service's methods as a generic handler.

        Written out, because ``model_service_pb2`` of tensorflow-serving-api 2.19 cannot be imported with
        protobuf 4 or newer; its messages can.
        """
        methods = {
            "GetModelStatus": (
                self.GetModelStatus,
                get_model_status_pb2.GetModelStatusRequest,
                get_model_status_pb2.GetModelStatusResponse,
            ),
            "HandleReloadConfigRequest": (
                self.HandleReloadConfigRequest,
                model_management_pb2.ReloadConfigRequest,
                model_management_pb2.ReloadConfigResponse,
            ),
        }
        handlers = {
            name: grpc.unary_unary_rpc_method_handler(
                method,
                request_deserializer=request.FromString,
                response_serializer=response.SerializeToString,
            )
            for name, (method, request, response) in methods.items()
        }
        return grpc.method_handlers_generic_handler(MODEL_SERVICE, handlers)


def _health(services: Sequence[str]) -> Any:
    """``grpc.health.v1.Health``: a server that answers at all has loaded its models.

    Request and response have one field, number 1, a string and an enum: the well-known wrappers have the same
    wire format.
    """

    def check(request: Any, context: Any) -> Any:
        if request.value not in ("", *services):
            context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
        return wrappers_pb2.Int32Value(value=1)  # SERVING

    handler = grpc.unary_unary_rpc_method_handler(
        check,
        request_deserializer=wrappers_pb2.StringValue.FromString,
        response_serializer=wrappers_pb2.Int32Value.SerializeToString,
    )
    return grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": handler})


def server(core: Core, executor: ThreadPoolExecutor) -> Any:
    """A grpc server with both services; ports are the caller's."""
    result = grpc.server(executor, options=_OPTIONS)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(PredictionService(core), result)
    result.add_generic_rpc_handlers(
        (ModelService(core).handler(), _health([PREDICTION_SERVICE, MODEL_SERVICE]))
    )
    return result
