"""What the clients of one protocol have in common: plain dictionaries, a request per call, no repetition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from types import TracebackType
from typing import Any, Self, TypeVar

import numpy as np

from exporter.client.answers import Completion, TensorInfo
from exporter.client.calls import DEFAULT_SIGNATURE
from exporter.client.flow import Deadline, Dialect, Flow, Retry, run
from exporter.client.generation import generate

T = TypeVar("T")


class PlainClient:
    """Calls of a dialect over a connection; see ``RestClient`` and ``GrpcClient``."""

    def __init__(self, dialect: Dialect, connection: Any, timeout: float) -> None:
        self._dialect, self._connection, self._timeout = dialect, connection, timeout

    def predict(self, signature: str, inputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Runs a signature on columns: one array or list per input. Strings come back as ``bytes``."""
        return self._run(self._dialect.predict(signature, inputs))

    def generate(
        self, prompts: Sequence[str], *, signature: str = DEFAULT_SIGNATURE, **options: Any
    ) -> list[Completion]:
        """Completes prompts; see ``exporter.client.generate``."""
        return generate(self, prompts, signature=signature, **options)

    def status(self) -> list[dict[str, Any]]:
        """``[{"version": 1, "state": "AVAILABLE", "error_code": "OK", "error_message": ""}, ...]``."""
        return [asdict(version) for version in self._run(self._dialect.status())]

    def metadata(self) -> dict[str, Any]:
        """Signature -> ``{"inputs": {name: {"dtype", "shape"}}, "outputs": ...}``; None is an open size."""
        return {
            name: {"inputs": _dicts(info.inputs), "outputs": _dicts(info.outputs)}
            for name, info in self._run(self._dialect.metadata()).items()
        }

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, flow: Flow[T]) -> T:
        return run(flow, self._connection.send, Deadline(self._timeout), Retry())


def _dicts(tensors: Mapping[str, TensorInfo]) -> dict[str, Any]:
    return {
        name: {"dtype": info.dtype, "shape": None if info.shape is None else list(info.shape)}
        for name, info in tensors.items()
    }
