"""The gRPC client of a TensorFlow Serving endpoint (or of the preview server)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

import grpc
import numpy as np
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from exporter.client.errors import RequestError
from exporter.client.generation import DEFAULT_SIGNATURE, Completion, generate

# gRPC's own limit on answers is 4 MB; the server's is 2 GiB.
_OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


class GrpcClient:
    """Talks to ``HOST:PORT``.

    Args:
      version, label: which version answers; None: the newest. Not both.
      credentials: of ``grpc.ssl_channel_credentials``, for a TLS port; None: plaintext.
      token: sent as ``authorization: Bearer``, for a front that asks for one.

    Raises:
      RequestError: from every call, with the server's code and message.
    """

    def __init__(
        self,
        target: str,
        model: str,
        *,
        version: int | None = None,
        label: str | None = None,
        timeout: float = 120.0,
        credentials: Any = None,
        token: str | None = None,
        options: Sequence[tuple[str, Any]] = (),
    ) -> None:
        if version is not None and label is not None:
            raise ValueError("give a version or a label, not both")
        self.model = model
        self._version, self._label, self._timeout = version, label, timeout
        self._metadata = [("authorization", f"Bearer {token}")] if token else []
        settings = [*_OPTIONS, *options]
        self._channel = (
            grpc.insecure_channel(target, settings)
            if credentials is None
            else grpc.secure_channel(target, credentials, settings)
        )
        self._predictions = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        # Without ModelServiceStub: tensorflow-serving-api 2.19's cannot be imported with protobuf 4 or newer.
        self._model_status = self._channel.unary_unary(
            "/tensorflow.serving.ModelService/GetModelStatus",
            request_serializer=get_model_status_pb2.GetModelStatusRequest.SerializeToString,
            response_deserializer=get_model_status_pb2.GetModelStatusResponse.FromString,
        )
        self._signatures: dict[str, Any] | None = None

    def predict(
        self,
        signature: str,
        inputs: Mapping[str, Any],
        output_filter: Sequence[str] = (),
    ) -> dict[str, np.ndarray]:
        """Runs a signature; values are cast to its dtypes. Strings come back as ``bytes``."""
        import tensorflow as tf

        request = predict_pb2.PredictRequest(output_filter=list(output_filter))
        self._fill(request.model_spec)
        request.model_spec.signature_name = signature
        dtypes = self._input_dtypes(signature)
        for name, value in inputs.items():
            array = np.asarray(value, dtype=object) if dtypes.get(name) == "string" else value
            try:
                proto = tf.make_tensor_proto(array, dtype=dtypes.get(name))
            except (TypeError, ValueError) as error:
                raise RequestError("INVALID_ARGUMENT", f"input {name!r}: {error}") from None
            request.inputs[name].CopyFrom(proto)
        response = self._call(self._predictions.Predict, request)
        return {name: tf.make_ndarray(value) for name, value in response.outputs.items()}

    def generate(
        self, prompts: Sequence[str], *, signature: str = DEFAULT_SIGNATURE, **options: Any
    ) -> list[Completion]:
        """Completes prompts; see ``exporter.client.generate``."""
        return generate(self, prompts, signature=signature, **options)

    def status(self) -> list[dict[str, Any]]:
        """As ``RestClient.status``."""
        request = get_model_status_pb2.GetModelStatusRequest()
        self._fill(request.model_spec)
        response = self._call(self._model_status, request)
        states = get_model_status_pb2.ModelVersionStatus.State
        return [
            {
                "version": item.version,
                "state": states.Name(item.state),
                "error_code": type(item.status)
                .DESCRIPTOR.fields_by_name["error_code"]
                .enum_type.values_by_number[item.status.error_code]
                .name,
                "error_message": item.status.error_message,
            }
            for item in response.model_version_status
        ]

    def metadata(self) -> dict[str, Any]:
        """As ``RestClient.metadata``."""
        request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        self._fill(request.model_spec)
        response = self._call(self._predictions.GetModelMetadata, request)
        signatures = get_model_metadata_pb2.SignatureDefMap()
        response.metadata["signature_def"].Unpack(signatures)
        return {
            name: {"inputs": _tensors(value.inputs), "outputs": _tensors(value.outputs)}
            for name, value in signatures.signature_def.items()
        }

    def close(self) -> None:
        self._channel.close()

    def __enter__(self) -> GrpcClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _fill(self, spec: Any) -> None:
        spec.name = self.model
        if self._version is not None:
            spec.version.value = self._version
        if self._label is not None:
            spec.version_label = self._label

    def _input_dtypes(self, signature: str) -> dict[str, str]:
        """The server converts nothing, so the client must send the signature's own dtypes."""
        if self._signatures is None:
            self._signatures = self.metadata()
        inputs = self._signatures.get(signature, {}).get("inputs", {})
        return {name: tensor["dtype"] for name, tensor in inputs.items()}

    def _call(self, method: Any, request: Any) -> Any:
        try:
            return method(request, timeout=self._timeout, metadata=self._metadata)
        except grpc.RpcError as error:
            raise RequestError(error.code().name, error.details() or "") from None


def _tensors(items: Mapping[str, Any]) -> dict[str, Any]:
    import tensorflow as tf

    def shape(proto: Any) -> list[int | None] | None:
        return None if proto.unknown_rank else [None if dim.size < 0 else dim.size for dim in proto.dim]

    return {
        name: {"dtype": _rest_name(tf.dtypes.as_dtype(item.dtype).name), "shape": shape(item.tensor_shape)}
        for name, item in items.items()
    }


def _rest_name(dtype: str) -> str:
    """TensorFlow's enum spells float32 "float", as the REST metadata does; TensorFlow takes both."""
    return {"float32": "float", "float64": "double"}.get(dtype, dtype)
