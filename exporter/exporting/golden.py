"""Golden answers: what a written version answers, checked and kept in its manifest.

Everything here goes through a reloaded SavedModel's signatures, as a server's requests do.
"""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_text  # noqa: F401  (registers the ops that a tokenizer graph may hold)
from pydantic import BaseModel, ConfigDict, TypeAdapter, with_config

from exporter.errors import VerificationError
from exporter.exporting.margins import Asked, next_margin, search_margin, start_of, step_margins, written
from exporter.generation.generation_options import UNPREDICTABLE_SEED, GenerationOptions
from exporter.generation.guides import Guides
from exporter.generation.rows import NO_GUIDE, RowOptions, default_rows, row_fields
from exporter.generation.step import PromptModel
from exporter.manifest import GoldenAnswer, MeasuredInfo
from exporter.model import build_model, read_behind
from exporter.options import ExportOptions
from exporter.prompts.prefix import Prefix
from exporter.saved_model.asking import Loaded, ask, width
from exporter.saved_model.served import Served
from exporter.spec import ModelSpec
from exporter.targets import compiled_for

#: Short, so that the export compiles only its smallest bucket to verify them.
GOLDEN_TEXTS = ("The", "1, 2, 3,", "Où est-ce? 東京\n")
#: What ``score`` is asked for behind such a text.
GOLDEN_CONTINUATION = " there"
#: How much of an answer is kept where a version may generate more: enough to tell one model from another.
GOLDEN_TOKENS = 64
#: Of a large model less: as many tokens as read so many bytes of weights, but a few always.
_GOLDEN_BYTES, _FEWEST = 8 << 30, 4
#: Ids that every vocabulary has; the golden request of an export without a tokenizer.
_SAMPLE_IDS = (1, 0, 1, 2)
#: The outputs that do not depend on what was drawn.
_ALWAYS = ("error",)
_ANEW = "all but row errors: drawn anew each time"


@dataclass(frozen=True)
class GoldenJob:
    """What of an export's plan decides what is asked, and how sure the answers are."""

    spec: ModelSpec
    options: ExportOptions
    generation: GenerationOptions
    dtype: str
    prefix: Prefix | None
    served: tuple[Served, ...]
    presets: tuple[str, ...]
    preset_languages: tuple[str, ...]
    #: By preset, what its template makes of the golden text in every field.
    template_prompts: dict[str, str] = field(default_factory=dict)
    #: The prompt of the golden request of "chat", literal, text, literal, ...; () without one.
    chat_segments: tuple[str, ...] = ()


def job_to_json(job: GoldenJob) -> bytes:
    """A job as it travels to another process; numbers without end are kept, within unions too."""
    return json.dumps(_JOB.dump_python(job, mode="json")).encode()


def job_from_json(text: bytes) -> GoldenJob:
    """The inverse of ``job_to_json``."""
    return _JOB.validate_json(text)


_JOB = TypeAdapter(with_config(ConfigDict(ser_json_inf_nan="constants"))(GoldenJob))


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
        guides = {name: Guides.of(found) for name, found in loaded.guides.items()}
        asking = _Asking(job, loaded.signatures, _reloaded(job, loaded), guides, limit)
        answers = tuple(asking.golden(name, inputs) for name, inputs in asking.requests())
    return Golden(answers=answers, measured=_measured(load_seconds, asking.seconds))


def golden_tokens(weights_bytes: int) -> int:
    """How many tokens of an answer are kept."""
    return max(_FEWEST, min(GOLDEN_TOKENS, _GOLDEN_BYTES // weights_bytes))


def _reloaded(job: GoldenJob, loaded: Loaded) -> PromptModel:
    """The model over the version's own variables."""
    model = build_model(job.spec, loaded.weights, job.dtype)
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

    def __init__(
        self,
        job: GoldenJob,
        signatures: Any,
        model: PromptModel,
        guides: Mapping[str, Guides],
        limit: int | None,
    ) -> None:
        self._job, self._signatures, self._model, self._limit = job, signatures, model, limit
        self._guides = guides
        self._served = {served.name: served for served in job.served}
        self.seconds: list[float] = []
        self._first = "tokens" if job.options.tokenizer == "none" else "serving_default"

    def requests(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Signature and inputs, a row each; signatures beside the default one are asked once."""
        for name in dict.fromkeys((self._first, "prompt_logprobs")):
            if name != "serving_default" and name in self._signatures:
                yield name, self._sample_ids(name)
        if self._first == "tokens":
            return
        # One, of a model whose answers are as short as they may be: each step reads all of its weights.
        texts = GOLDEN_TEXTS[-1:] if self._limit == _FEWEST else GOLDEN_TEXTS
        for seed, text in enumerate(texts, 1):
            yield "serving_default", {"text": [text]}
            if _is_anew(self._job.generation) and "generate" in self._signatures:
                yield "generate", {"text": [text], **self._row_options(seed)}
        text = GOLDEN_TEXTS[0]
        if "generate" in self._signatures:
            for number in range(len(self._job.options.guides)):
                yield "generate", {"text": [text], **self._row_options(1), "guide": [number]}
        for name in (*self._job.presets, "template", "score", "next_token"):
            if name in self._signatures:
                more = {"continuation": [GOLDEN_CONTINUATION]} if name == "score" else {}
                fields = self._fields(name) if self._served[name].kind == "template" else ("text",)
                yield name, {**{field: [text] for field in fields}, **more}
        if self._job.chat_segments:
            yield "chat", {name: [text if name == "user" else ""] for name in self._fields("chat")}

    def _sample_ids(self, name: str) -> dict[str, Any]:
        places = width(self._signatures, name)
        ids = [*_SAMPLE_IDS, *[0] * places][:places]
        return {"input_ids": [ids], "num_tokens": [min(len(_SAMPLE_IDS), places)]}

    def _row_options(self, seed: int) -> dict[str, Any]:
        """The exported defaults as inputs, with a seed."""
        generation, most = self._job.generation, self._job.generation.max_new_tokens
        options = {name: [getattr(generation, name)] for name in row_fields()}
        if self._job.options.guides:
            options["guide"] = [NO_GUIDE]
        return options | {"seed": [seed], "max_new_tokens": [min(most, self._limit or most)]}

    def golden(self, name: str, inputs: dict[str, Any]) -> GoldenAnswer:
        """The answer to a request, which is asked twice."""
        answer, again = self._timed(name, inputs), self._timed(name, inputs)
        served = self._served[name]
        options = served.program.options if served.program else None
        if options and _is_anew(options) and name != "generate":
            outputs = {key: value for key, value in answer.items() if key in _ALWAYS}
            return GoldenAnswer(signature=name, inputs=inputs, outputs=outputs, not_compared=_ANEW)
        if answer != again:
            raise VerificationError(f"{name}({inputs}) answers {answer!r}, and asked again {again!r}")
        limit = self._limit if options and name != "generate" else None
        found = GoldenAnswer(signature=name, inputs=inputs, outputs=answer, max_new_tokens=limit)
        if any(np.ravel(answer["error"])):
            return found
        return found.model_copy(update=self._sure(served, inputs, answer))

    def _timed(self, name: str, inputs: dict[str, Any]) -> dict[str, Any]:
        started = time.monotonic()
        answer = ask(self._signatures, name, inputs)
        if name == self._first:
            self.seconds.append(time.monotonic() - started)
        return answer

    def _sure(self, served: Served, inputs: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
        """``margins`` and ``decided`` of a good answer, or what is not compared and why there are none."""
        if served.kind == "score":
            kept = {key: value for key, value in answer.items() if key != "greedy"}
            return {"outputs": kept, "not_compared": "greedy, which the smallest lead of a token turns"}
        if served.kind == "prompt_logprobs":
            kept = {key: value for key, value in answer.items() if key != "top_tokens"}
            why = "top_tokens, whose order close log-probabilities turn" if kept != answer else ""
            return {"outputs": kept, "not_compared": why, "unsure": "it chooses no token"}
        if served.kind == "tokens":
            ids, count = answer["generated_ids"][0], answer["num_tokens"][0]
            prompt = inputs["input_ids"][0][: inputs["num_tokens"][0]]
            return self._margins(
                served, inputs, prompt, answer, [ids[:count]] if isinstance(count, int) else None
            )
        if served.preset in self._job.preset_languages:
            return {"unsure": "encode does not read texts in its languages"}
        if served.kind == "template" and not self._job.options.special_tokens_in_text:
            return {"unsure": "encode does not read special tokens as its template does"}
        if served.kind == "chat" and self._job.options.reasoning != "keep":
            return {"unsure": "its thinking is parted from its answer"}
        encoded = self._encoded(served, inputs)
        prompt = encoded["input_ids"][0]
        if served.kind == "chat":  # encoded as a whole
            prompt = prompt[len(self._read_behind(served)[0]) :]
        if len(prompt) > width(self._signatures, "tokens"):
            return {"unsure": "the prompt was cut off"}
        if served.kind == "next_token":
            prefix, model = self._read_behind(served)
            start = start_of(prompt, self._job.generation, prefix)
            return {"margins": (next_margin(model, start, len(answer["tokens"][0])),), "decided": (0,)}
        if served.name != "serving_default":
            return self._margins(served, inputs, prompt, answer, None)
        generated = ask(self._signatures, "tokens", self._widened("tokens", encoded))
        self._compare(inputs["text"][0], generated, answer)
        ids, count = generated["generated_ids"][0], generated["num_tokens"][0]
        return self._margins(
            served, inputs, prompt, answer, [ids[:count]] if isinstance(count, int) else None
        )

    def _fields(self, name: str) -> tuple[str, ...]:
        return tuple(self._signatures[name].structured_input_signature[1])

    def _encoded(self, served: Served, inputs: dict[str, Any]) -> dict[str, Any]:
        """The ids of a request's prompt."""
        if served.kind != "chat":
            prompt = (
                [self._job.template_prompts[served.preset]] if served.kind == "template" else inputs["text"]
            )
            return ask(self._signatures, "encode", {"text": prompt})
        specs = self._signatures["encode_segments"].structured_input_signature[1]
        own = self._job.chat_segments
        row = [*own, *[""] * (specs["segments"].shape[1] - len(own))]
        return ask(self._signatures, "encode_segments", {"segments": [row]})

    def _read_behind(self, served: Served) -> tuple[tuple[int, ...], PromptModel]:
        """What stands before the tokens of a signature's requests, and the model that reads them there."""
        prefix = served.program.prefix if served.program else ()
        return prefix, read_behind(self._model, prefix)

    def _margins(
        self,
        served: Served,
        inputs: dict[str, Any],
        prompt: list[int],
        answer: dict[str, Any],
        ids: list[list[int]] | None,
    ) -> dict[str, Any]:
        """Of an answer of generation; ``ids`` of its sequences, None: the model is asked for them."""
        assert served.program is not None
        assert served.program.options is not None
        options, by_row = served.program.options, served.program.row_options
        rows = default_rows(options, 1)
        rows = rows._replace(
            max_new_tokens=np.minimum(rows.max_new_tokens, self._limit or options.max_new_tokens)
        )
        if by_row:
            fields = row_fields(guides=bool(served.program.guides))
            chosen = {
                name: np.asarray(inputs[name], field.dtype.as_numpy_dtype) for name, field in fields.items()
            }
            rows = RowOptions(**chosen, finished=rows.finished)
        guides = self._guides[served.program.guides_name] if served.program.guided else None
        prefix, model = self._read_behind(served)
        asked = Asked(model, start_of(prompt, options, prefix), options, rows, by_row, guides)
        if options.num_beams > 1:
            if options.stop_strings:
                return {"unsure": "stop strings end its beams"}
            return {"margins": (search_margin(asked),), "decided": (0,)}
        if ids is None:
            counts = np.ravel(answer["num_tokens"]).tolist()
            ids = [row[:count] for row, count in zip(written(asked)[0], counts, strict=True)]
        margins = [step_margins(asked, row, number) for number, row in enumerate(ids)]
        if len(ids) > 1:
            return {"margins": (min(min(row, default=0.0) for row in margins),), "decided": (0,)}
        decided = list(range(len(ids[0])))
        if served.kind != "tokens":
            echoed = "" if served.kind in ("chat", "template") else self._echoed(inputs["text"][0])
            decided = self._decided(echoed, ids[0], answer["generated_text"][0])
        return {"margins": margins[0], "decided": tuple(decided)}

    def _decided(self, prompt: str, ids: list[int], answered: str) -> list[int]:
        """How many characters of the answer the first 0, 1, 2, ... tokens fix."""
        parts = {"input_ids": [ids[:end] for end in range(len(ids))], "num_tokens": list(range(len(ids)))}
        texts = ask(self._signatures, "decode", self._widened("decode", parts))["text"] if ids else []
        return [_common(prompt + text, answered) for text in texts]

    def _echoed(self, text: str) -> str:
        """What stands in an answer before the generated text."""
        prefix, program = self._job.prefix, self._served[self._first].program
        before = prefix.text if prefix and program and program.prefix else ""
        return before + text if self._job.options.echo else ""

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


def _is_anew(options: GenerationOptions) -> bool:
    """Whether each answer is drawn with a seed of its own."""
    return options.do_sample and options.seed == UNPREDICTABLE_SEED


def _common(one: str, other: str) -> int:
    """How many characters two texts begin with alike."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))
