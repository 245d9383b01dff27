"""Golden answers: what a written version answers, checked and kept in its manifest.

Everything here goes through a reloaded SavedModel's signatures, as a server's requests do.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_text  # noqa: F401  (registers the ops that a tokenizer graph may hold)

from exporter.errors import VerificationError
from exporter.exporting.plan import Plan
from exporter.generation.generation_options import UNPREDICTABLE_SEED
from exporter.manifest import GoldenAnswer
from exporter.saved_model.asking import Loaded, ask, width

#: Short, so that the export compiles only its smallest bucket to verify them.
GOLDEN_TEXTS = ("The", "1, 2, 3,", "Où est-ce? 東京\n")
#: How much of an answer is kept where a version may generate more: enough to tell one model from another.
GOLDEN_TOKENS = 64
#: Ids that every vocabulary has; the golden request of an export without a tokenizer.
_SAMPLE_IDS = (1, 0, 1, 2)


def golden_of(plan: Plan, directory: Path) -> tuple[GoldenAnswer, ...]:
    """The golden answers of the version that was written as planned."""
    deterministic = not plan.generation.do_sample or plan.generation.seed != UNPREDICTABLE_SEED
    return golden_answers(
        directory,
        GOLDEN_TEXTS if plan.options.tokenizer != "none" else (),
        deterministic=deterministic,
        limit=GOLDEN_TOKENS if plan.generation.max_new_tokens > GOLDEN_TOKENS else None,
        echo=(plan.prefix.text if plan.prefix else "") if plan.options.echo else None,
    )


def golden_answers(
    directory: Path,
    texts: Sequence[str],
    *,
    deterministic: bool,
    limit: int | None = None,
    echo: str | None = None,
) -> tuple[GoldenAnswer, ...]:
    """Asks a written version; text and token signatures must say the same.

    Args:
      directory: a version directory.
      texts: the prompts; empty for a version without text signatures.
      deterministic: whether two equal requests have equal answers (no unpredictable seeds); only then is
        anything compared or kept. A prompt that is too long for the version answers with its error.
      limit: the most tokens of an answer, kept with it; None for those of the version.
      echo: where text answers start with their prompt, what stands before the texts there.

    Raises:
      VerificationError: a signature fails, or text -> text differs from encode -> tokens -> decode.
    """
    loaded = Loaded(directory)
    loaded.limit(limit)
    signatures = loaded.signatures
    if not texts:
        places = width(signatures, "tokens")
        ids = [*_SAMPLE_IDS, *[0] * places][:places]
        inputs: dict[str, Any] = {"input_ids": [ids], "num_tokens": [min(len(_SAMPLE_IDS), places)]}
        answer = ask(signatures, "tokens", inputs)
        return (_kept("tokens", inputs, answer, limit),) if deterministic else ()
    golden = []
    for text in texts:
        answer = ask(signatures, "serving_default", {"text": [text]})
        if deterministic:
            if "error" not in np.ravel(answer["finish_reason"]):
                _compare_paths(signatures, text, answer, echo=echo)
            golden.append(_kept("serving_default", {"text": [text]}, answer, limit))
    return tuple(golden)


def _kept(signature: str, inputs: dict[str, Any], answer: dict[str, Any], limit: int | None) -> GoldenAnswer:
    return GoldenAnswer(signature=signature, inputs=inputs, outputs=answer, max_new_tokens=limit)


def _compare_paths(signatures: Any, text: str, answer: dict[str, Any], *, echo: str | None) -> None:
    """serving_default(text) must equal decode(tokens(encode(text)))."""
    encoded = ask(signatures, "encode", {"text": [text]})
    if encoded["num_tokens"][0] > width(signatures, "tokens"):
        return  # truncated, which only text signatures do
    generated = ask(signatures, "tokens", _widened(signatures, "tokens", encoded))
    several = isinstance(generated["num_tokens"][0], list)
    sequences = {
        "input_ids": generated["generated_ids"][0] if several else generated["generated_ids"],
        "num_tokens": generated["num_tokens"][0] if several else generated["num_tokens"],
    }
    decoded = ask(signatures, "decode", _widened(signatures, "decode", sequences))["text"]
    answered = answer["generated_text"][0] if several else answer["generated_text"]
    prompt = "" if echo is None else echo + text
    expected = [prompt + part for part in decoded]
    if expected != answered:
        raise VerificationError(
            f"serving_default({text!r}) answers {answered!r}, encode, tokens and decode answer {expected!r}"
        )


def _widened(signatures: Any, name: str, encoded: dict[str, Any]) -> dict[str, Any]:
    """Ids padded to the width that a signature fixes."""
    places = width(signatures, name)
    ids = [row + [0] * (places - len(row)) for row in encoded["input_ids"]]
    return {"input_ids": ids, "num_tokens": encoded["num_tokens"]}
