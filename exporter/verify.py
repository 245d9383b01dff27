"""Golden answers: what a version answered when it was exported, and whether it still does.

Everything here goes through a reloaded SavedModel's signatures, as a server's requests do.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_text  # noqa: F401  (registers the ops that a tokenizer graph may hold)

from exporter.errors import VerificationError, raise_all
from exporter.saved_model.manifest import GoldenAnswer, Manifest

#: Ids that every vocabulary has; the golden request of an export without a tokenizer.
_SAMPLE_IDS = (1, 0, 1, 2)


def golden_answers(
    directory: Path, texts: Sequence[str], *, deterministic: bool, echo: str | None = None
) -> tuple[GoldenAnswer, ...]:
    """Asks a written version; text and token signatures must say the same.

    Args:
      directory: a version directory.
      texts: the prompts; empty for a version without text signatures.
      deterministic: whether two equal requests have equal answers (no unpredictable seeds); only then is
        anything compared or kept. A prompt that is too long for the version answers with its error.
      echo: where text answers start with their prompt, what stands before the texts there.

    Raises:
      VerificationError: a signature fails, or text -> text differs from encode -> tokens -> decode.
    """
    signatures = tf.saved_model.load(str(directory)).signatures
    if not texts:
        width = _width(signatures, "tokens")
        ids = [*_SAMPLE_IDS, *[0] * width][:width]
        inputs: dict[str, Any] = {"input_ids": [ids], "num_tokens": [min(len(_SAMPLE_IDS), width)]}
        answer = _ask(signatures, "tokens", inputs)
        return (GoldenAnswer(signature="tokens", inputs=inputs, outputs=answer),) if deterministic else ()
    golden = []
    for text in texts:
        answer = _ask(signatures, "serving_default", {"text": [text]})
        if deterministic:
            if "error" not in np.ravel(answer["finish_reason"]):
                _compare_paths(signatures, text, answer, echo=echo)
            golden.append(GoldenAnswer(signature="serving_default", inputs={"text": [text]}, outputs=answer))
    return tuple(golden)


def verify_version(directory: Path) -> int:
    """Replays the golden answers of a version's manifest; returns how many there were.

    Raises:
      VerificationError: an answer differs; all that differ are listed.
    """
    manifest = Manifest.read(directory)
    signatures = tf.saved_model.load(str(directory)).signatures
    problems = []
    for golden in manifest.golden:
        answer = _ask(signatures, golden.signature, golden.inputs)
        problems += [
            f"{golden.signature}({golden.inputs}): {name} is {answer[name]!r}, was {golden.outputs[name]!r}"
            for name in golden.outputs
            if answer.get(name) != golden.outputs[name]
        ]
    raise_all(VerificationError, f"{directory} answers differently than when it was exported:", problems)
    return len(manifest.golden)


def _ask(signatures: Any, name: str, inputs: dict[str, Any]) -> dict[str, Any]:
    """One request; strings come back as str, everything else as plain numbers."""
    specs = signatures[name].structured_input_signature[1]
    tensors = {key: tf.constant(value, specs[key].dtype) for key, value in inputs.items()}
    return {key: _plain(value.numpy()) for key, value in signatures[name](**tensors).items()}


def _plain(value: np.ndarray) -> Any:
    if value.dtype == object:
        return np.vectorize(lambda item: item.decode("utf-8"), otypes=[object])(value).tolist()
    return value.tolist()


def _compare_paths(signatures: Any, text: str, answer: dict[str, Any], *, echo: str | None) -> None:
    """serving_default(text) must equal decode(tokens(encode(text)))."""
    encoded = _ask(signatures, "encode", {"text": [text]})
    if encoded["num_tokens"][0] > _width(signatures, "tokens"):
        return  # truncated, which only text signatures do
    generated = _ask(signatures, "tokens", _widened(signatures, "tokens", encoded))
    several = isinstance(generated["num_tokens"][0], list)
    sequences = {
        "input_ids": generated["generated_ids"][0] if several else generated["generated_ids"],
        "num_tokens": generated["num_tokens"][0] if several else generated["num_tokens"],
    }
    decoded = _ask(signatures, "decode", _widened(signatures, "decode", sequences))["text"]
    answered = answer["generated_text"][0] if several else answer["generated_text"]
    prompt = "" if echo is None else echo + text
    expected = [prompt + part for part in decoded]
    if expected != answered:
        raise VerificationError(
            f"serving_default({text!r}) answers {answered!r}, encode, tokens and decode answer {expected!r}"
        )


def _widened(signatures: Any, name: str, encoded: dict[str, Any]) -> dict[str, Any]:
    """Ids padded to the width that a signature fixes."""
    width = _width(signatures, name)
    ids = [row + [0] * (width - len(row)) for row in encoded["input_ids"]]
    return {"input_ids": ids, "num_tokens": encoded["num_tokens"]}


def _width(signatures: Any, name: str) -> int:
    """How many ids a row of a signature holds."""
    return int(signatures[name].structured_input_signature[1]["input_ids"].shape[1])
