"""TensorFlow Serving's REST API: what is sent, how answers are read, and the connections."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np

from exporter.client import row_calls
from exporter.client.address import Model
from exporter.client.answers import SignatureInfo, TensorInfo, VersionStatus
from exporter.client.errors import RequestError
from exporter.client.flow import Flow
from exporter.client.json_body import json_body
from exporter.client.plain import PlainClient


@dataclass(frozen=True)
class Exchange:
    """One HTTP request."""

    method: str
    url: str
    body: Any = None

    @property
    def arguments(self) -> dict[str, Any]:
        """For httpx."""
        if self.body is None:
            return {"method": self.method, "url": self.url}
        headers = {"Content-Type": "application/json"}
        content = json_body(self.body, lenient=True)
        return {"method": self.method, "url": self.url, "content": content, "headers": headers}


class RestDialect:
    """The calls on ``URL/v1/models/MODEL``."""

    def __init__(self, url: str, model: Model) -> None:
        self._path = url.rstrip("/") + model.path

    def predict(self, signature: str, inputs: Mapping[str, Any]) -> Flow[dict[str, np.ndarray]]:
        """In columnar form; strings come back as ``bytes``, as over gRPC."""
        row_calls.check_rows(inputs, None)
        columns = {name: to_json(value) for name, value in inputs.items()}
        answer = yield self._post({"signature_name": signature, "inputs": columns})
        outputs = _field(answer, "outputs")
        if not isinstance(outputs, dict) or set(outputs) == {"b64"}:
            outputs = {(yield from self._only_output(signature)): outputs}
        return {name: _column(name, value) for name, value in outputs.items()}

    def predict_rows(self, signature: str, instances: Sequence[Any]) -> Flow[list[Any]]:
        """In row form."""
        row_calls.check_rows({"instances": list(instances)}, None)
        body = {"signature_name": signature, "instances": [to_json(row) for row in instances]}
        return list(_field((yield self._post(body)), "predictions"))

    def status(self) -> Flow[list[VersionStatus]]:
        answer = yield Exchange("GET", self._path)
        return [_version(item) for item in _dicts(_field(answer, "model_version_status"))]

    def metadata(self) -> Flow[dict[str, SignatureInfo]]:
        answer = yield Exchange("GET", self._path + "/metadata")
        definitions = _mapping(_mapping(_field(answer, "metadata")).get("signature_def"))
        return {
            name: SignatureInfo(_tensors(definition, "inputs"), _tensors(definition, "outputs"))
            for name, definition in _mapping(definitions.get("signature_def")).items()
        }

    def _post(self, body: Any) -> Exchange:
        return Exchange("POST", self._path + ":predict", body)

    def _only_output(self, signature: str) -> Flow[str]:
        """An answer with one output drops its name; the metadata has it."""
        info = (yield from self.metadata()).get(signature)
        names = list(info.outputs) if info else []
        if len(names) != 1:
            raise RequestError("UNKNOWN", f"one nameless output; the metadata of {signature!r} lists {names}")
        return names[0]


class Connection:
    """Blocking HTTP. ``verify``: an ``ssl.SSLContext``, True for public authorities, False for no check."""

    def __init__(self, token: str | None, verify: Any) -> None:
        self._http = httpx.Client(**_settings(token, verify))

    def send(self, exchange: Exchange, seconds: float) -> dict[str, Any]:
        try:
            return _answer(self._http.request(**exchange.arguments, timeout=seconds))
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _failure(error, exchange) from None

    def page(self, url: str, seconds: float) -> str:
        """A page of the server's that is no JSON."""
        exchange = Exchange("GET", url)
        try:
            response = self._http.request(**exchange.arguments, timeout=seconds)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _failure(error, exchange) from None
        if response.status_code != 200:
            raise RequestError.from_http(response.status_code, response.text.strip()[:500])
        return response.text

    def close(self) -> None:
        self._http.close()


class AsyncConnection:
    """HTTP in asyncio."""

    def __init__(self, token: str | None, verify: Any) -> None:
        self._http = httpx.AsyncClient(**_settings(token, verify))

    async def send(self, exchange: Exchange, seconds: float) -> dict[str, Any]:
        try:
            return _answer(await self._http.request(**exchange.arguments, timeout=seconds))
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _failure(error, exchange) from None

    async def close(self) -> None:
        await self._http.aclose()


def _settings(token: str | None, verify: Any) -> dict[str, Any]:
    return {
        "headers": {"Authorization": f"Bearer {token}"} if token else {},
        "verify": verify,
        "limits": httpx.Limits(max_connections=None, max_keepalive_connections=100),
        "trust_env": False,  # no proxy from the environment: a model server is named outright
    }


def _answer(response: httpx.Response) -> dict[str, Any]:
    try:
        # Strings of a graph need not be UTF-8; the server sends them as they are.
        answer = json.loads(response.content.decode("utf-8", "surrogateescape"))
    except ValueError:
        answer = None
    if response.status_code != 200 or not isinstance(answer, dict):
        message = answer.get("error") if isinstance(answer, dict) else None
        raise RequestError.from_http(response.status_code, str(message or response.text.strip()[:500]))
    return answer


def _failure(error: Exception, exchange: Exchange) -> RequestError:
    if isinstance(error, httpx.TimeoutException):
        return RequestError("DEADLINE_EXCEEDED", f"no answer from {exchange.url}: {error}")
    return RequestError("UNAVAILABLE", f"{exchange.url}: {error}")


class RestClient(PlainClient):
    """REST alone, without repetition: ``URL/v1/models/MODEL``.

    Args:
      url: ``http://host:8501`` or ``https://...``; a path before ``/v1`` is kept.
      version, label: which version answers; None: the newest. Not both.
      token: sent as ``Authorization: Bearer``, for a front that asks for one.
      verify: TLS: an ``ssl.SSLContext``, or False for no check (tests).

    Raises:
      RequestError: from every call, with the server's message; code UNAVAILABLE when no answer came.
    """

    def __init__(
        self,
        url: str,
        model: str,
        *,
        version: int | None = None,
        label: str | None = None,
        timeout: float = 120.0,
        token: str | None = None,
        verify: Any = True,
    ) -> None:
        self._rest = RestDialect(url, Model(model, version, label))
        super().__init__(self._rest, Connection(token, verify), timeout)

    def predict_rows(self, signature: str, instances: Sequence[Any]) -> list[Any]:
        """Runs a signature in row form: one value (or object of values) in and out per row."""
        return self._run(self._rest.predict_rows(signature, instances))


def to_json(value: Any) -> Any:
    """Lists, NumPy arrays and bytes as the REST API takes them; bytes become ``{"b64": ...}``."""
    if isinstance(value, np.ndarray | np.generic):
        return to_json(value.tolist())
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode()}
    if isinstance(value, Mapping):
        return {key: to_json(item) for key, item in value.items()}
    return [to_json(item) for item in value] if isinstance(value, list | tuple) else value


def from_json(value: Any) -> np.ndarray:
    """An output column; ``{"b64": ...}`` becomes bytes."""

    def leaves(item: Any) -> Any:
        if isinstance(item, list):
            return [leaves(element) for element in item]
        if isinstance(item, dict):
            return base64.b64decode(item["b64"])
        return item.encode("utf-8", "surrogateescape") if isinstance(item, str) else item

    decoded = leaves(value)
    array = np.asarray(decoded)
    if array.dtype.kind == "f" and not any(isinstance(leaf, float) for leaf in _flat(decoded)):
        array = np.asarray(decoded, np.uint64)  # NumPy makes floats of integers on both sides of 2**63
    # Bytes stay Python objects: NumPy's own would strip trailing NULs.
    return np.asarray(decoded, dtype=object) if array.dtype.kind in "SO" else array


def _flat(value: Any) -> Iterator[Any]:
    for element in value if isinstance(value, list) else ():
        yield from _flat(element)
    if not isinstance(value, list):
        yield value


def _column(name: str, value: Any) -> np.ndarray:
    try:
        return from_json(value)
    except (KeyError, ValueError, TypeError) as error:
        raise RequestError("UNKNOWN", f"output {name!r} is no tensor in JSON: {error}") from None


def _field(answer: Mapping[str, Any], name: str) -> Any:
    if name not in answer:
        raise RequestError("UNKNOWN", f"the answer has no {name!r}, only {', '.join(answer) or 'nothing'}")
    return answer[name]


def _mapping(value: Any) -> Mapping[str, Any]:
    """An object of an answer; anything else stands for an empty one."""
    return value if isinstance(value, dict) else {}


def _dicts(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _version(item: Mapping[str, Any]) -> VersionStatus:
    """Numbers are strings in the JSON form of protocol buffers; fields of default values may be missing."""
    status = _mapping(item.get("status"))
    return VersionStatus(
        _integer(item.get("version", 0)),
        str(item.get("state", "UNKNOWN")),
        str(status.get("error_code", "OK")),
        str(status.get("error_message", "")),
    )


def _tensors(definition: Any, side: str) -> dict[str, TensorInfo]:
    tensors = _mapping(_mapping(definition).get(side))
    return {name: _tensor(_mapping(item)) for name, item in tensors.items()}


def _tensor(item: Mapping[str, Any]) -> TensorInfo:
    dtype = str(item.get("dtype", "DT_INVALID")).removeprefix("DT_").lower()
    shape = _mapping(item.get("tensor_shape"))
    if shape.get("unknown_rank"):
        return TensorInfo(dtype, None)
    sizes = [_integer(dim.get("size", 0)) for dim in _dicts(shape.get("dim"))]
    return TensorInfo(dtype, tuple(None if size < 0 else size for size in sizes))


def _integer(value: Any) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        raise RequestError("UNKNOWN", f"the answer has {value!r} where a number belongs") from None
