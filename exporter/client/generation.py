"""Text in, text out, over a client of any kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from exporter.client.answers import Completion, completions
from exporter.client.calls import DEFAULT_SIGNATURE


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
