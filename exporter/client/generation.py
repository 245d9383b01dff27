"""Text in, text out, over any transport."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from exporter.errors import ServingError

DEFAULT_SIGNATURE = "serving_default"


class Client(Protocol):
    """What both transports offer; tensors are columns: one NumPy array per name, rows in dimension 0."""

    def predict(self, signature: str, inputs: Mapping[str, Any]) -> dict[str, np.ndarray]: ...


@dataclass(frozen=True)
class Completion:
    """One row's answer; ``texts`` has one entry per exported sequence.

    ``finish_reasons`` are "stop", "length" or "error"; ``error`` is "" unless the row was refused.
    """

    prompt: str
    texts: tuple[str, ...]
    num_tokens: tuple[int, ...]
    finish_reasons: tuple[str, ...]
    error: str = ""

    @property
    def text(self) -> str:
        return self.texts[0]


def generate(
    client: Client,
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
    if not prompts:
        return []
    size = rows_per_request or len(prompts)
    completions = []
    for start in range(0, len(prompts), size):
        rows = slice(start, start + size)
        columns: dict[str, Any] = {"text": list(prompts[rows])}
        columns |= {name: list(values)[rows] for name, values in (inputs or {}).items()}
        completions += _completions(prompts[rows], client.predict(signature, columns), signature)
    return completions


def _completions(prompts: Sequence[str], outputs: Mapping[str, Any], signature: str) -> list[Completion]:
    if "generated_text" not in outputs:
        raise ServingError(
            f"signature {signature!r} answers {', '.join(sorted(outputs))}, not generated_text: "
            "it generates no text"
        )
    texts = _per_row(outputs["generated_text"])
    missing: list[list[Any]] = [[] for _ in prompts]
    counts = _per_row(outputs["num_tokens"]) if "num_tokens" in outputs else missing
    reasons = _per_row(outputs["finish_reason"]) if "finish_reason" in outputs else missing
    errors = _per_row(outputs["error"]) if "error" in outputs else missing
    return [
        Completion(
            prompt,
            tuple(decode(text) for text in texts[row]),
            tuple(int(count) for count in counts[row]),
            tuple(decode(reason) for reason in reasons[row]),
            decode(errors[row][0]) if errors[row] else "",
        )
        for row, prompt in enumerate(prompts)
    ]


def _per_row(values: Any) -> list[list[Any]]:
    """``[batch]`` or ``[batch, n]`` -> a list per row."""
    array = np.asarray(values, dtype=object)
    return [list(np.atleast_1d(row)) for row in array]


def decode(value: Any) -> str:
    """A string tensor's element as text; bytes that are not UTF-8 become replacement characters."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
