"""TensorFlow Serving's gRPC API: what is sent, how answers are read, and the connections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import grpc
import numpy as np
from google.protobuf.message import DecodeError

from exporter.client import messages, row_calls
from exporter.client.address import Model
from exporter.client.answers import SignatureInfo, TensorInfo, VersionStatus
from exporter.client.errors import RequestError
from exporter.client.flow import Flow
from exporter.client.plain import PlainClient
from exporter.client.tensors import dtype_name, from_proto, to_proto

_OPTIONS: list[tuple[str, int | str]] = [
    # gRPC's own limit on answers is 4 MB; the server's is 2 GiB.
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # No proxy from the environment: a model server is named outright.
    ("grpc.enable_http_proxy", 0),
    # Or a server that comes back would be tried again only after a pause of up to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # Of a name with several addresses (a headless Service) each gets its share; else all calls go to one.
    ("grpc.service_config", '{"loadBalancingConfig": [{"round_robin": {}}]}'),
]


class Exchange(NamedTuple):
    """One unary call."""

    method: str
    request: Any


class GrpcDialect:
    """The calls on a model."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._signatures: dict[str, SignatureInfo] | None = None

    def predict(
        self, signature: str, inputs: Mapping[str, Any], output_filter: Sequence[str] = ()
    ) -> Flow[dict[str, np.ndarray]]:
        """Values are cast to the signature's dtypes, without loss: the server converts nothing."""
        row_calls.check_rows(inputs, None)
        signatures = self._signatures  # other threads may drop them
        if signatures is None:
            signatures = self._signatures = yield from self.metadata()
        info = signatures.get(signature)
        request = self._request("PredictRequest")
        request.output_filter.extend(output_filter)
        request.model_spec.signature_name = signature
        for name, value in inputs.items():
            dtype = info.inputs[name].dtype if info and name in info.inputs else None
            request.inputs[name].CopyFrom(_tensor(name, value, dtype))
        try:
            response = yield Exchange("Predict", request)
        except RequestError:
            self._signatures = None  # perhaps another version answers by now
            raise
        return {name: _array(name, value) for name, value in response.outputs.items()}

    def status(self) -> Flow[list[VersionStatus]]:
        response = yield Exchange("GetModelStatus", self._request("GetModelStatusRequest"))
        return [
            VersionStatus(
                item.version,
                messages.enum_name(item, "state"),
                messages.enum_name(item.status, "error_code"),
                item.status.error_message,
            )
            for item in response.model_version_status
        ]

    def metadata(self) -> Flow[dict[str, SignatureInfo]]:
        request = self._request("GetModelMetadataRequest")
        request.metadata_field.append("signature_def")
        response = yield Exchange("GetModelMetadata", request)
        signatures = messages.new("SignatureDefMap")
        try:
            signatures.ParseFromString(response.metadata["signature_def"].value)
        except DecodeError as error:
            raise RequestError("UNKNOWN", f"metadata of another form: {error}") from None
        self._signatures = {
            name: SignatureInfo(_tensors(value.inputs), _tensors(value.outputs))
            for name, value in signatures.signature_def.items()
        }
        return self._signatures

    def _request(self, name: str) -> Any:
        request = messages.new(name)
        self._model.fill(request.model_spec)
        return request


class Connection:
    """A blocking channel to HOST:PORT; ``credentials`` None: plaintext."""

    def __init__(
        self, target: str, token: str | None, credentials: Any, options: Sequence[tuple[str, Any]] = ()
    ) -> None:
        self._channel = _channel(grpc, target, credentials, options)
        self._metadata = _authorization(token)
        self._calls = {method: messages.call(self._channel, method) for method in messages.METHODS}

    def send(self, exchange: Exchange, seconds: float) -> Any:
        try:
            return self._calls[exchange.method](exchange.request, timeout=seconds, metadata=self._metadata)
        except grpc.RpcError as error:
            raise _failure(error) from None

    def close(self) -> None:
        self._channel.close()


class AsyncConnection:
    """A channel in asyncio; made inside the running loop."""

    def __init__(self, target: str, token: str | None, credentials: Any) -> None:
        import grpc.aio

        self._channel = _channel(grpc.aio, target, credentials)
        self._metadata = _authorization(token)
        self._calls = {method: messages.call(self._channel, method) for method in messages.METHODS}

    async def send(self, exchange: Exchange, seconds: float) -> Any:
        try:
            call = self._calls[exchange.method]
            return await call(exchange.request, timeout=seconds, metadata=self._metadata)
        except grpc.RpcError as error:
            raise _failure(error) from None

    async def close(self) -> None:
        await self._channel.close()


def _channel(module: Any, target: str, credentials: Any, options: Sequence[tuple[str, Any]] = ()) -> Any:
    settings = [*_OPTIONS, *options]
    if credentials is None:
        return module.insecure_channel(target, settings)
    return module.secure_channel(target, credentials, settings)


def _authorization(token: str | None) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),) if token else ()


def _failure(error: Any) -> RequestError:
    return RequestError(error.code().name, error.details() or "")


class GrpcClient(PlainClient):
    """gRPC alone, without repetition: ``HOST:PORT``.

    Args:
      version, label: which version answers; None: the newest. Not both.
      credentials: of ``grpc.ssl_channel_credentials``, for a TLS port; None: plaintext.
      token: sent as ``authorization: Bearer``, for a front that asks for one.
      options: further channel arguments.

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
        self._grpc = GrpcDialect(Model(model, version, label))
        super().__init__(self._grpc, Connection(target, token, credentials, options), timeout)

    def predict(
        self, signature: str, inputs: Mapping[str, Any], output_filter: Sequence[str] = ()
    ) -> dict[str, np.ndarray]:
        """Runs a signature; values are cast to its dtypes. Strings come back as ``bytes``."""
        return self._run(self._grpc.predict(signature, inputs, output_filter))


def _tensor(name: str, value: Any, dtype: str | None) -> Any:
    try:
        return to_proto(value, dtype)
    except (TypeError, ValueError) as error:
        raise RequestError("INVALID_ARGUMENT", f"input {name!r}: {error}") from None


def _array(name: str, proto: Any) -> np.ndarray:
    try:
        return from_proto(proto)
    except ValueError as error:
        raise RequestError("UNKNOWN", f"output {name!r}: {error}") from None


def _tensors(items: Mapping[str, Any]) -> dict[str, TensorInfo]:
    return {name: TensorInfo(dtype_name(item), _shape(item.tensor_shape)) for name, item in items.items()}


def _shape(proto: Any) -> tuple[int | None, ...] | None:
    return None if proto.unknown_rank else tuple(None if dim.size < 0 else int(dim.size) for dim in proto.dim)
