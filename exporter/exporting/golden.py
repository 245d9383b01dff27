"""Golden answers: what a written version answers, checked and kept in its manifest.

Everything here goes through a reloaded SavedModel's signatures, as a server's requests do.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_text  # noqa: F401  (registers the ops that a tokenizer graph may hold)
from pydantic import BaseModel, ConfigDict

from exporter.errors import VerificationError
from exporter.exporting.margins import greedy_margins, is_greedy
from exporter.generation.generation_options import UNPREDICTABLE_SEED, GenerationOptions
from exporter.generation.rows import ROW_FIELDS
from exporter.generation.step import StepModel
from exporter.manifest import GoldenAnswer, MeasuredInfo
from exporter.model import build_model
from exporter.options import ExportOptions
from exporter.prompts.prefix import Prefix
from exporter.saved_model.asking import Loaded, ask, width
from exporter.spec import ModelSpec
from exporter.targets import compiled_for

#: Short, so that the export compiles only its smallest bucket to verify them.
GOLDEN_TEXTS = ("The", "1, 2, 3,", "Où est-ce? 東京\n")
#: How much of an answer is kept where a version may generate more: enough to tell one model from another.
GOLDEN_TOKENS = 64
#: Of a large model less: as many tokens as read so many bytes of weights, but a few always.
_GOLDEN_BYTES, _FEWEST = 8 << 30, 4
#: Ids that every vocabulary has; the golden request of an export without a tokenizer.
_SAMPLE_IDS = (1, 0, 1, 2)
#: The outputs that do not depend on what was drawn.
_ALWAYS = ("error",)


@dataclass(frozen=True)
class GoldenJob:
    """What of an export's plan decides what is asked, and how sure the answers are."""

    spec: ModelSpec
    options: ExportOptions
    generation: GenerationOptions
    prefix: Prefix | None


class Golden(BaseModel):
    """What a written version answered, and what that took."""

    model_config = ConfigDict(frozen=True)

    answers: tuple[GoldenAnswer, ...]
    measured: MeasuredInfo


def golden_of(job: GoldenJob, directory: Path) -> Golden:
    """The golden answers of the version that was written as planned.

    Where answers are drawn anew each time, of these only what does not depend on the draw is kept, and fixed
    seeds are asked for through ``generate`` where that is exported.

    Raises:
      VerificationError: a signature fails, answers the same request differently, or text -> text differs from
        encode -> tokens -> decode.
    """
    started = time.monotonic()
    loaded = Loaded(directory)
    load_seconds = time.monotonic() - started
    most = golden_tokens(
        sum(value.shape.num_elements() * value.dtype.size for value in loaded.weights.values())
    )
    limit = most if job.generation.max_new_tokens > most else None
    loaded.limit(limit)
    with compiled_for(job.options.target):
        asking = _Asking(job, loaded.signatures, _reloaded(job, loaded), limit)
        answers = tuple(asking.golden(name, inputs) for name, inputs in asking.requests())
    return Golden(answers=answers, measured=_measured(load_seconds, asking.seconds))


def golden_tokens(weights_bytes: int) -> int:
    """How many tokens of an answer are kept."""
    return max(_FEWEST, min(GOLDEN_TOKENS, _GOLDEN_BYTES // weights_bytes))


def _reloaded(job: GoldenJob, loaded: Loaded) -> StepModel:
    """The model over the version's own variables."""
    model = build_model(job.spec, loaded.weights)
    if job.prefix:
        model.bake_prefix(job.prefix.tokens, loaded.prefix)
    return model


def _measured(load: float, answers: list[float]) -> MeasuredInfo:
    quickest = min(answers)
    return MeasuredInfo(
        load_seconds=round(load, 3),
        compile_seconds=round(answers[0] - quickest, 3),
        answer_seconds=round(quickest, 6),
        peak_memory_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    )


class _Asking:
    """Requests to the reloaded version; ``seconds`` is what each golden one took."""

    def __init__(self, job: GoldenJob, signatures: Any, model: StepModel, limit: int | None) -> None:
        self._job, self._signatures, self._model, self._limit = job, signatures, model, limit
        self.seconds: list[float] = []
        generation = job.generation
        self._anew = generation.do_sample and generation.seed == UNPREDICTABLE_SEED

    def requests(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Signature and inputs, a row each."""
        if self._job.options.tokenizer == "none":
            places = width(self._signatures, "tokens")
            ids = [*_SAMPLE_IDS, *[0] * places][:places]
            yield "tokens", {"input_ids": [ids], "num_tokens": [min(len(_SAMPLE_IDS), places)]}
            return
        for seed, text in enumerate(GOLDEN_TEXTS, 1):
            yield "serving_default", {"text": [text]}
            if self._anew and "generate" in self._signatures:
                yield "generate", {"text": [text], **self._row_options(seed)}

    def _row_options(self, seed: int) -> dict[str, Any]:
        """The exported defaults as inputs, with a seed."""
        options = {name: [getattr(self._job.generation, name)] for name in ROW_FIELDS}
        most = self._job.generation.max_new_tokens
        return options | {"seed": [seed], "max_new_tokens": [min(most, self._limit or most)]}

    def golden(self, name: str, inputs: dict[str, Any]) -> GoldenAnswer:
        """The answer to a request, which is asked twice."""
        answer, again = self._timed(name, inputs), self._timed(name, inputs)
        if self._anew and name != "generate":
            outputs = {key: value for key, value in answer.items() if key in _ALWAYS}
            return GoldenAnswer(signature=name, inputs=inputs, outputs=outputs)
        if answer != again:
            raise VerificationError(f"{name}({inputs}) answers {answer!r}, and asked again {again!r}")
        sure: dict[str, Any] = {}
        if "error" not in np.ravel(answer["finish_reason"]) and name != "generate":
            sure = self._sure(name, inputs, answer)
        limit = self._limit if name != "generate" else None
        return GoldenAnswer(signature=name, inputs=inputs, outputs=answer, max_new_tokens=limit, **sure)

    def _timed(self, name: str, inputs: dict[str, Any]) -> dict[str, Any]:
        started = time.monotonic()
        answer = ask(self._signatures, name, inputs)
        self.seconds.append(time.monotonic() - started)
        return answer

    def _sure(self, name: str, inputs: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
        """``margins`` and ``decided`` of a good answer, which is compared with the other way to it."""
        if name == "tokens":
            ids = answer["generated_ids"][0]
            prompt = inputs["input_ids"][0][: inputs["num_tokens"][0]]
            return self._margins(prompt, ids, answer["num_tokens"][0], lambda ids: list(range(len(ids))))
        text = inputs["text"][0]
        encoded = ask(self._signatures, "encode", {"text": [text]})
        if encoded["num_tokens"][0] > width(self._signatures, "tokens"):
            return {}  # truncated, which only text signatures do
        generated = ask(self._signatures, "tokens", self._widened("tokens", encoded))
        self._compare(text, generated, answer)
        return self._margins(
            encoded["input_ids"][0],
            generated["generated_ids"][0],
            generated["num_tokens"][0],
            lambda ids: self._decided(self._echoed(text), ids, answer["generated_text"][0]),
        )

    def _margins(self, prompt: list[int], ids: list[int], count: int, decided: Any) -> dict[str, Any]:
        job = self._job
        if not is_greedy(job.generation):
            return {}
        answer = ids[:count]
        margins = greedy_margins(
            self._model,
            prompt,
            answer,
            job.generation,
            prefix=job.prefix.tokens if job.prefix else (),
            limit=self._limit,
        )
        return {"margins": margins, "decided": tuple(decided(answer))}

    def _decided(self, prompt: str, ids: list[int], answered: str) -> list[int]:
        """How many characters of the answer the first 0, 1, 2, ... tokens fix."""
        parts = {"input_ids": [ids[:end] for end in range(len(ids))], "num_tokens": list(range(len(ids)))}
        texts = ask(self._signatures, "decode", self._widened("decode", parts))["text"] if ids else []
        return [_common(prompt + text, answered) for text in texts]

    def _echoed(self, text: str) -> str:
        """What stands in an answer before the generated text."""
        prefix = self._job.prefix.text if self._job.prefix else ""
        return prefix + text if self._job.options.echo else ""

    def _compare(self, text: str, generated: dict[str, Any], answer: dict[str, Any]) -> None:
        """serving_default(text) must equal decode(tokens(encode(text)))."""
        several = isinstance(generated["num_tokens"][0], list)
        sequences = {
            "input_ids": generated["generated_ids"][0] if several else generated["generated_ids"],
            "num_tokens": generated["num_tokens"][0] if several else generated["num_tokens"],
        }
        decoded = ask(self._signatures, "decode", self._widened("decode", sequences))["text"]
        answered = answer["generated_text"][0] if several else answer["generated_text"]
        expected = [self._echoed(text) + part for part in decoded]
        if expected != answered:
            raise VerificationError(
                f"serving_default({text!r}) answers {answered!r}, encode, tokens and decode answer "
                f"{expected!r}"
            )

    def _widened(self, name: str, encoded: dict[str, Any]) -> dict[str, Any]:
        """Ids padded to the width that a signature fixes."""
        places = width(self._signatures, name)
        ids = [row + [0] * (places - len(row)) for row in encoded["input_ids"]]
        return {"input_ids": ids, "num_tokens": encoded["num_tokens"]}


def _common(one: str, other: str) -> int:
    """How many characters two texts begin with alike."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))
