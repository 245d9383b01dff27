"""Servers that give prepared answers, over HTTP and gRPC."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2, predict_pb2

Answer = tuple[int, bytes]


class HttpStub:
    """Records requests; ``answer`` is one answer for all, or makes each from (path, body)."""

    def __init__(self, port: int = 0) -> None:
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        self.answer: Answer | Callable[[str, bytes], Answer] = (200, b"{}")
        self.release = threading.Event()
        self.release.set()
        stub = self

        class Handler(BaseHTTPRequestHandler):
            def _reply(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                stub.requests.append((self.command, self.path, dict(self.headers), body))
                stub.release.wait(20)
                answer = stub.answer
                status, content = answer(self.path, body) if callable(answer) else answer
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = _reply  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        # Looks for the end often: a test waits for it.
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.http.server_port}"

    @property
    def bodies(self) -> list[Any]:
        """The JSON of the requests that had one."""
        return [json.loads(body) for _, _, _, body in self.requests if body]

    def stop(self) -> None:
        self.release.set()
        self.http.shutdown()
        self.http.server_close()


_METHODS = {
    "/tensorflow.serving.PredictionService/Predict": (
        predict_pb2.PredictRequest,
        predict_pb2.PredictResponse,
    ),
    "/tensorflow.serving.PredictionService/GetModelMetadata": (
        get_model_metadata_pb2.GetModelMetadataRequest,
        get_model_metadata_pb2.GetModelMetadataResponse,
    ),
    "/tensorflow.serving.ModelService/GetModelStatus": (
        get_model_status_pb2.GetModelStatusRequest,
        get_model_status_pb2.GetModelStatusResponse,
    ),
}


class GrpcStub(grpc.GenericRpcHandler):
    """TensorFlow Serving's own messages; ``handlers`` is method -> function of (request, context)."""

    def __init__(self, port: int = 0) -> None:
        self.requests: list[Any] = []
        self.metadata: list[dict[str, str]] = []
        self.handlers: dict[str, Callable[[Any, Any], Any]] = {}
        self._server = grpc.server(ThreadPoolExecutor(8))
        self._server.add_generic_rpc_handlers((self,))
        self.target = f"127.0.0.1:{self._server.add_insecure_port(f'127.0.0.1:{port}')}"
        self.url = f"grpc://{self.target}"
        self._server.start()

    def service(self, details: Any) -> Any:
        request, response = _METHODS[details.method]
        name = details.method.rpartition("/")[2]

        def answer(message: Any, context: Any) -> Any:
            self.requests.append(message)
            self.metadata.append(dict(context.invocation_metadata()))
            return self.handlers[name](message, context)

        return grpc.unary_unary_rpc_method_handler(
            answer, request_deserializer=request.FromString, response_serializer=response.SerializeToString
        )

    def stop(self) -> None:
        self._server.stop(0).wait()


def metadata_response(signatures: Any) -> Any:
    """A ``GetModelMetadataResponse`` with a ``SignatureDefMap``."""
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    response.metadata["signature_def"].Pack(signatures)
    return response


class Model:
    """A model in Python behind either stub: signature -> function from columns to columns.

    ``inputs`` is signature -> input name -> (DT_..., shape); ``calls`` what was asked, (signature, columns).
    """

    def __init__(self, inputs: dict[str, dict[str, tuple[str, list[int]]]], **functions: Any) -> None:
        self.inputs, self.functions = inputs, functions
        self.calls: list[tuple[str, dict[str, list[Any]]]] = []

    def _call(self, signature: str, columns: dict[str, list[Any]]) -> dict[str, Any]:
        self.calls.append((signature, columns))
        return dict(self.functions[signature](**columns))

    def http(self, path: str, body: bytes) -> Answer:
        if path.endswith("/metadata"):
            signatures = {
                name: {
                    "inputs": {key: _json_tensor(*tensor) for key, tensor in tensors.items()},
                    "outputs": {"a": _json_tensor("DT_STRING", [-1]), "b": _json_tensor("DT_STRING", [-1])},
                }
                for name, tensors in self.inputs.items()
            }
            return 200, json.dumps({"metadata": {"signature_def": {"signature_def": signatures}}}).encode()
        request = json.loads(body)
        try:
            outputs = self._call(request["signature_name"], request["inputs"])
        except ValueError as error:
            return 400, json.dumps({"error": str(error)}).encode()
        return 200, json.dumps({"outputs": outputs}).encode()

    def grpc(self, stub: GrpcStub) -> None:
        stub.handlers = {"Predict": self._predict, "GetModelMetadata": self._metadata}

    def _metadata(self, request: Any, context: Any) -> Any:
        signatures = get_model_metadata_pb2.SignatureDefMap()
        for name, tensors in self.inputs.items():
            for key, (dtype, shape) in tensors.items():
                tensor = signatures.signature_def[name].inputs[key]
                tensor.dtype = (
                    type(tensor).DESCRIPTOR.fields_by_name["dtype"].enum_type.values_by_name[dtype].number
                )
                for size in shape:
                    tensor.tensor_shape.dim.add(size=size)
        return metadata_response(signatures)

    def _predict(self, request: Any, context: Any) -> Any:
        import tensorflow as tf

        columns = {name: _decoded(tf.make_ndarray(proto)) for name, proto in request.inputs.items()}
        try:
            outputs = self._call(request.model_spec.signature_name, columns)
        except ValueError as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        response = predict_pb2.PredictResponse()
        for name, value in outputs.items():
            response.outputs[name].CopyFrom(tf.make_tensor_proto(value))
        return response


def _json_tensor(dtype: str, shape: list[int]) -> dict[str, Any]:
    return {"dtype": dtype, "tensor_shape": {"dim": [{"size": str(size), "name": ""} for size in shape]}}


def _decoded(array: Any) -> list[Any]:
    return [item.decode() if isinstance(item, bytes) else item for item in array.tolist()]
