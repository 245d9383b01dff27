"""The REST client of a TensorFlow Serving endpoint (or of the preview server)."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any
from urllib.parse import quote

import httpx
import numpy as np

from exporter.client.errors import RequestError
from exporter.client.generation import DEFAULT_SIGNATURE, Completion, generate


class RestClient:
    """Talks to ``URL/v1/models/MODEL``.

    Args:
      url: ``http://host:8501`` or ``https://...``; a path before ``/v1`` is kept.
      version, label: which version answers; None: the newest. Not both.
      token: sent as ``Authorization: Bearer``, for a front that asks for one.
      verify: TLS: a CA file, or False for no check (tests).

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
        if version is not None and label is not None:
            raise ValueError("give a version or a label, not both")
        self.model = model
        self._path = f"{url.rstrip('/')}/v1/models/{quote(model, safe='')}"
        if version is not None:
            self._path += f"/versions/{version}"
        if label is not None:
            self._path += f"/labels/{quote(label, safe='')}"
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        # No proxy from the environment: a model server is named outright.
        self._http = httpx.Client(timeout=timeout, headers=headers, verify=verify, trust_env=False)

    def predict(self, signature: str, inputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Runs a signature in columnar form; strings come back as ``bytes``, as over gRPC."""
        body = {
            "signature_name": signature,
            "inputs": {name: to_json(value) for name, value in inputs.items()},
        }
        outputs = self._request("POST", self._path + ":predict", body)["outputs"]
        if not isinstance(outputs, dict) or set(outputs) == {"b64"}:
            outputs = {self._only_output(signature): outputs}
        return {name: from_json(value) for name, value in outputs.items()}

    def predict_rows(self, signature: str, instances: Sequence[Any]) -> list[Any]:
        """Runs a signature in row form: one value (or object of values) in and out per row."""
        body = {"signature_name": signature, "instances": [to_json(row) for row in instances]}
        return list(self._request("POST", self._path + ":predict", body)["predictions"])

    def generate(
        self, prompts: Sequence[str], *, signature: str = DEFAULT_SIGNATURE, **options: Any
    ) -> list[Completion]:
        """Completes prompts; see ``exporter.client.generate``."""
        return generate(self, prompts, signature=signature, **options)

    def status(self) -> list[dict[str, Any]]:
        """``[{"version": 1, "state": "AVAILABLE", "error_code": "OK", "error_message": ""}, ...]``."""
        versions = self._request("GET", self._path)["model_version_status"]
        return [
            {"version": int(item["version"]), "state": item["state"], **item.get("status", {})}
            for item in versions
        ]

    def metadata(self) -> dict[str, Any]:
        """Signature -> ``{"inputs": {name: {"dtype", "shape"}}, "outputs": ...}``; None is an open size."""
        answer = self._request("GET", self._path + "/metadata")
        definitions = answer["metadata"]["signature_def"]["signature_def"]
        return {
            name: {side: _tensors(definition.get(side, {})) for side in ("inputs", "outputs")}
            for name, definition in definitions.items()
        }

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> RestClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _only_output(self, signature: str) -> str:
        """An answer with one output drops its name; the metadata has it."""
        (name,) = self.metadata()[signature]["outputs"]
        return str(name)

    def _request(self, method: str, url: str, body: Any = None) -> dict[str, Any]:
        content = None if body is None else json.dumps(body, ensure_ascii=False).encode()
        headers = {} if content is None else {"Content-Type": "application/json"}
        try:
            response = self._http.request(method, url, content=content, headers=headers)
        except httpx.TimeoutException as error:
            raise RequestError("DEADLINE_EXCEEDED", f"no answer from {url}: {error}") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise RequestError("UNAVAILABLE", f"{url}: {error}") from None
        try:
            # Strings of a graph need not be UTF-8; the server sends them as they are.
            answer = json.loads(response.content.decode("utf-8", "surrogateescape"))
        except ValueError:
            answer = None
        if response.status_code != 200 or not isinstance(answer, dict):
            message = answer.get("error") if isinstance(answer, dict) else None
            raise RequestError.from_http(response.status_code, message or response.text.strip()[:500])
        return answer


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


def _tensors(items: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: {"dtype": item["dtype"].removeprefix("DT_").lower(), "shape": _shape(item["tensor_shape"])}
        for name, item in items.items()
    }


def _shape(shape: Mapping[str, Any]) -> list[int | None] | None:
    if shape.get("unknown_rank"):
        return None
    sizes = [int(dim["size"]) for dim in shape.get("dim", [])]
    return [None if size < 0 else size for size in sizes]
