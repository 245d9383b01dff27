"""What the clients of one protocol have in common: plain dictionaries, a request per call, no repetition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Protocol, TypeVar

import numpy as np

from exporter.client.answers import Completion, TensorInfo, completions
from exporter.client.closing import Closing
from exporter.client.flow import Deadline, Dialect, Flow, Retry, run
from exporter.client.row_calls import DEFAULT_SIGNATURE

T = TypeVar("T")


class PlainClient(Closing):
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

    def _run(self, flow: Flow[T]) -> T:
        return run(flow, self._connection.send, Deadline(self._timeout), Retry())


def _dicts(tensors: Mapping[str, TensorInfo]) -> dict[str, Any]:
    return {
        name: {"dtype": info.dtype, "shape": None if info.shape is None else list(info.shape)}
        for name, info in tensors.items()
    }


class Predicts(Protocol):
    """Tensors are columns: one array per name, rows in dimension 0."""

    def predict(self, signature: str, inputs: Mapping[str, Any]) -> dict[str, Any]: ...


def generate(
    client: Predicts,
    prompts: Sequence[str],
    *,
    signature: str = DEFAULT_SIGNATURE,
    inputs: Mapping[str, Any] | None = None,
    rows_per_request: int | None = None,
) -> list[Completion]:
    """Completes prompts.

    Args:
      inputs: further inputs of the signature, one value per prompt.
      rows_per_request: at most so many rows in one request (a batching server refuses more than its largest
        batch); None sends all at once.

    Raises:
      ServingError: a request failed, or the signature is not one that generates text.
    """
    answers: list[Completion] = []
    size = rows_per_request or len(prompts) or 1
    for start in range(0, len(prompts), size):
        rows = slice(start, start + size)
        columns: dict[str, Any] = {"text": list(prompts[rows])}
        columns |= {name: list(values)[rows] for name, values in (inputs or {}).items()}
        answers += completions(prompts[rows], client.predict(signature, columns), signature)
    return answers
