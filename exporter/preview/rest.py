"""The REST API: paths, bodies, answers and errors of TensorFlow Serving's HTTP server."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import unquote

from google.protobuf import json_format
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from tensorflow_serving.apis import get_model_metadata_pb2

from exporter.preview import json_answer, json_tensor
from exporter.preview.core import Core, ModelSpec
from exporter.preview.servable import DEFAULT_SIGNATURE
from exporter.preview.status import HTTP_STATUS, Code, StatusError, invalid
from exporter.preview.tensors import dtype_name

_API = re.compile(r"/v1/.*", re.IGNORECASE | re.DOTALL)
_SPEC = r"/v1/models/([^/:]+)(?:/versions/(\d+)|/labels/([^/:]+))?"
_PREDICT = re.compile(_SPEC + r":(classify|regress|predict)", re.IGNORECASE)
_STATUS = re.compile(_SPEC + r"(?:/(metadata))?", re.IGNORECASE)
_NO_MODEL = re.compile(r"/v1/models(?:/metadata)?", re.IGNORECASE)


#: Further routes at the server's own address, and what to call when it stops.
Page = tuple[Sequence[Route], Callable[[], Awaitable[None]]]


def application(
    core: Core,
    executor: ThreadPoolExecutor,
    *,
    timeout_seconds: float,
    metrics_path: str | None,
    page: Page | None = None,
) -> Starlette:
    """The ASGI application.

    Args:
      executor: where requests run; its size bounds how many are in work at once.
      timeout_seconds: after which a request answers 504.
      metrics_path: of the Prometheus page; None: no page.
      page: routes that come first.
    """

    async def endpoint(request: Request) -> Response:
        path = request.scope.get("raw_path", request.url.path.encode()).decode("latin-1").partition("?")[0]
        if metrics_path and path == metrics_path:
            return Response(core.metrics.page(), media_type="text/plain")
        if not _API.fullmatch(path):
            return Response(status_code=404)
        body = await request.body()
        loop = asyncio.get_running_loop()
        work = loop.run_in_executor(executor, answer, core, request.method, path, body)
        try:
            return await asyncio.wait_for(work, timeout_seconds)
        except TimeoutError:
            return _error(StatusError(Code.DEADLINE_EXCEEDED, "Timed out waiting for notification"))

    methods = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
    handler: Callable[[Request], Awaitable[Response]] = endpoint
    routes, close = page or ((), None)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        if close is not None:
            await close()

    return Starlette(routes=[*routes, Route("/{path:path}", handler, methods=methods)], lifespan=lifespan)


def answer(core: Core, method: str, path: str, body: bytes) -> Response:
    """One request under /v1/; never raises."""
    try:
        return Response(_answer(core, method, path, body), media_type="application/json")
    except StatusError as error:
        return _error(error)
    except Exception as error:  # a fault of this server must look like one, and not stop it
        return _error(StatusError(Code.INTERNAL, f"{type(error).__name__}: {error}"))


def _error(error: StatusError) -> Response:
    body = json.dumps({"error": error.message}, ensure_ascii=False).encode("utf-8", "replace")
    return Response(body, status_code=HTTP_STATUS[error.code], media_type="application/json")


def _answer(core: Core, method: str, path: str, body: bytes) -> bytes:
    if method == "POST" and (match := _PREDICT.fullmatch(path)):
        if match[4].lower() != "predict":
            raise StatusError(Code.UNIMPLEMENTED, f"the preview server does not implement {match[4]}")
        return _predict(core, _spec(match), body)
    if method == "GET" and (match := _STATUS.fullmatch(path)):
        return _metadata(core, _spec(match)) if match[4] else _status(core, _spec(match))
    if method == "GET" and _NO_MODEL.fullmatch(path):
        raise invalid("Missing model name in request.")
    raise invalid(f"Malformed request: {method} {path}")


def _spec(match: re.Match[str]) -> ModelSpec:
    version = int(match[2]) if match[2] else None
    if version is not None and version >= 2**63:
        raise invalid(f"Failed to convert version: {match[2]} to numeric.")
    return ModelSpec(unquote(match[1]), version, unquote(match[3]) if match[3] else None)


def _predict(core: Core, spec: ModelSpec, body: bytes) -> bytes:
    document = json_tensor.parse_document(body)
    name = json_tensor.signature_name(document) or DEFAULT_SIGNATURE
    servable = core.find(spec)
    if name not in servable.signatures:
        raise invalid(f'Serving signature name: "{name}" not found in signature def')
    inputs = {
        key: json_tensor.Input(dtype_name(tensor.dtype))
        for key, tensor in servable.signatures[name].inputs.items()
    }
    request = json_tensor.parse_predict(document, inputs)
    outputs = core.predict(servable, name, request.tensors, entrypoint="REST")
    return json_answer.format_predict(outputs, row_format=request.row_format)


def _status(core: Core, spec: ModelSpec) -> bytes:
    return json.dumps(_to_dict(core.status(spec)), indent=1).encode()


def _metadata(core: Core, spec: ModelSpec) -> bytes:
    response = core.metadata(spec)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    response.metadata["signature_def"].Unpack(signatures)
    document = {
        "model_spec": _to_dict(response.model_spec),
        "metadata": {"signature_def": _to_dict(signatures)},
    }
    return json.dumps(document, indent=1).encode()


def _to_dict(message: Any) -> dict[str, Any]:
    # 64-bit numbers are strings in the JSON form of protocol buffers: "version": "1".
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
