"""Decoding: processors, choice of tokens, search and stopping. Knows a step model, no family.

What a signature calls inside its compiled function (``generate``, ``score``, ``next_token``,
``prompt_logprobs``) loads TensorFlow and so is imported on use; ``options`` and ``attributes`` do not.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from exporter.generation.calls import generate as generate
    from exporter.generation.calls import next_token as next_token
    from exporter.generation.calls import prompt_logprobs as prompt_logprobs
    from exporter.generation.calls import score as score

_CALLS = "exporter.generation.calls"


def __getattr__(name: str) -> Any:
    if name in ("generate", "next_token", "prompt_logprobs", "score"):
        return getattr(importlib.import_module(_CALLS), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
