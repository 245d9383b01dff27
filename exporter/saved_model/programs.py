"""Compiled programs: one ``tf.function(jit_compile=True)`` per thing that a signature asks of the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from exporter.devices import CPU
from exporter.generation import generate, next_token, prompt_logprobs, score
from exporter.generation.generation_options import GenerationOptions
from exporter.generation.guides import Guides
from exporter.generation.rows import (
    GUIDE_FIELD,
    RowOptions,
    default_rows,
    resolve_seeds,
    row_fields,
    with_extras,
)
from exporter.generation.step import Prompt, PromptModel
from exporter.generation.stop import StopAutomaton
from exporter.manifest import Buckets
from exporter.model import read_behind
from exporter.prompts.prefix_tokenizer import with_prefix
from exporter.saved_model.padding import map_in_buckets
from exporter.saved_model.requests import Rows
from exporter.saved_model.served import ProgramKey

#: (prompt, live bool [batch], per-row tensors by name) -> outputs whose dim 0 is batch.
Call = Callable[[Prompt, tf.Tensor, dict[str, tf.Tensor]], dict[str, tf.Tensor]]


class Program:
    """A function of prompts, compiled by XLA once per bucket.

    It is polymorphic in batch and length and traced once, here; XLA specialises it for every bucket that
    reaches it. Per-row values are tensors: they never retrace or recompile.

    Deliberately no tf.Module: a tracked tf.function is traced a second time when it is saved. The signatures
    hold the traced one.

    Attributes:
      per_row: specs of what it takes for every row beside the prompt.
      encodes: whether prompts go to an encoder.
      longest: its longest bucket.
    """

    def __init__(
        self,
        call: Call,
        per_row: Mapping[str, tf.TensorSpec],
        buckets: Buckets,
        *,
        pad_token_id: int,
        decoder_start: int | None,
    ) -> None:
        self.per_row = dict(per_row)
        self._buckets = buckets
        self.longest = buckets.prompt_lengths[-1]
        self._pad_token_id = pad_token_id
        self.encodes = decoder_start is not None

        def compiled(
            tokens: tf.Tensor, lengths: tf.Tensor, live: tf.Tensor, per_row: dict[str, tf.Tensor]
        ) -> dict[str, tf.Tensor]:
            return call(_prompt(tokens, lengths, decoder_start), live, per_row)

        self.compiled = tf.function(
            compiled,
            jit_compile=True,
            autograph=False,
            input_signature=[
                tf.TensorSpec([None, None], tf.int32, "tokens"),
                tf.TensorSpec([None], tf.int32, "lengths"),
                tf.TensorSpec([None], tf.bool, "live"),
                dict(per_row),
            ],
        )
        traced = self.compiled.get_concrete_function()
        self._outputs: dict[str, tf.TensorSpec] = traced.structured_outputs

    def run(self, rows: Rows, per_row: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Answers all rows; those with an error are finished from the start. Dim 0 of outputs is batch."""
        with tf.device(CPU):
            live = tf.equal(rows.error, "")
        return map_in_buckets(
            self.compiled,
            self._outputs,
            rows.tokens,
            dict(per_row),
            live=live,
            buckets=self._buckets,
            pad_token_id=self._pad_token_id,
            pad_left=not self.encodes,
        )


def _prompt(tokens: tf.Tensor, lengths: tf.Tensor, decoder_start: int | None) -> Prompt:
    """The padded rows as the model's prompt: its decoder's own, or its encoder's beside a start token."""
    if decoder_start is None:
        return Prompt(tokens=tokens, lengths=lengths)
    ones = tf.ones_like(lengths)
    return Prompt(ones[:, None] * decoder_start, ones, encoder_tokens=tokens, encoder_lengths=lengths)


class Programs:
    """Builds programs of one model, each once: signatures with equal options share theirs."""

    def __init__(
        self,
        model: PromptModel,
        buckets: Buckets,
        pad_token_id: int,
        decoder_start: int | None,
        answer_limit: tf.Tensor = 2**31 - 1,
    ) -> None:
        """``answer_limit``: int32 [], the most tokens of an answer that has no such option of its own."""
        self._answer_limit = answer_limit
        self._model = model
        self._buckets = buckets
        self._facts: dict[str, Any] = {"pad_token_id": pad_token_id, "decoder_start": decoder_start}
        self._built: dict[ProgramKey, GenerationProgram | Program] = {}

    def get(
        self, key: ProgramKey, stop: StopAutomaton | None = None, guides: Guides | None = None
    ) -> GenerationProgram | Program:
        """The program of ``key``; ``stop``, of its options' stop strings, and ``guides``, those that its
        answers follow, go with "generation" alone."""
        if key not in self._built:
            if key.options is not None:
                self._built[key] = self._generation(key, key.options, stop, guides)
            else:
                others = {
                    "score": self._score,
                    "next_token": self._next_token,
                    "prompt_logprobs": self._prompt_logprobs,
                }
                self._built[key] = others[key.kind](key)
        return self._built[key]

    def _generation(
        self,
        key: ProgramKey,
        options: GenerationOptions,
        stop: StopAutomaton | None,
        guides: Guides | None,
    ) -> GenerationProgram:
        """Generation under static ``options``; see ``exporter.generation.generate``."""
        model = read_behind(self._model, key.prefix)

        def call(prompt: Prompt, live: tf.Tensor, per_row: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            rows = RowOptions(**per_row, finished=~live)
            answer = generate(
                model,
                with_prefix(key.prefix, prompt),
                options,
                rows,
                row_options=key.row_options,
                stop=stop,
                guides=guides,
                piece=key.piece,
            )
            # Outputs that the options do not ask for are None.
            return {name: value for name, value in answer._asdict().items() if value is not None}

        fields = row_fields(extras=bool(key.row_token_ids), pieces=bool(key.piece), guides=bool(key.guides))
        specs = {name: field.spec(key.row_token_ids) for name, field in fields.items()}
        # A preset may begin with another language's token.
        facts: dict[str, Any] = {
            "pad_token_id": options.pad_token_id,
            "decoder_start": options.decoder_start_token_id,
        }
        program = Program(call, specs, key.buckets(self._buckets), **facts)
        return GenerationProgram(key, program, self._answer_limit, stop, guides)

    def _score(self, key: ProgramKey) -> Program:
        """Log-likelihood of continuations of at most ``size`` tokens."""
        width, model = key.size, read_behind(self._model, key.prefix)

        def call(prompt: Prompt, live: tf.Tensor, per_row: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            whole = with_prefix(key.prefix, prompt)
            return score(model, whole, per_row["continuation"], per_row["count"])._asdict()

        specs = {
            "continuation": tf.TensorSpec([None, width], tf.int32, "continuation"),
            "count": tf.TensorSpec([None], tf.int32, "count"),
        }
        return self._program(call, specs)

    def _next_token(self, key: ProgramKey) -> Program:
        """The ``size`` most probable next tokens."""
        model = read_behind(self._model, key.prefix)

        def call(prompt: Prompt, live: tf.Tensor, per_row: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            return next_token(model, with_prefix(key.prefix, prompt), key.size)._asdict()

        return self._program(call, {})

    def _prompt_logprobs(self, key: ProgramKey) -> Program:
        """Log-probabilities of the prompts' tokens, and of the ``size`` most probable ones there."""
        width, baked = self._buckets.prompt_lengths[-1], len(key.prefix)
        model = read_behind(self._model, key.prefix)

        def call(prompt: Prompt, live: tf.Tensor, per_row: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            whole = with_prefix(key.prefix, prompt)
            found = prompt_logprobs(model, whole, width=width, top=key.size, baked=baked)
            return {name: value for name, value in found._asdict().items() if value is not None}

        return self._program(call, {})

    def _program(self, call: Call, per_row: Mapping[str, tf.TensorSpec]) -> Program:
        return Program(call, per_row, self._buckets, **self._facts)


class GenerationProgram:
    """A generation program with its options.

    Attributes:
      row_token_ids, piece: as in ``ProgramKey``.
      baked: tokens in front of every row's own.
      stop: the automaton of its stop strings; None without.
    """

    def __init__(
        self,
        key: ProgramKey,
        program: Program,
        answer_limit: tf.Tensor,
        stop: StopAutomaton | None,
        guides: Guides | None,
    ) -> None:
        """``key``: what the program was made for, with options."""
        assert key.options is not None
        self.options = key.options
        self.program = program
        self.row_token_ids, self.piece, self.choices = key.row_token_ids, key.piece, len(key.guides)
        self.baked, self.stop, self.guides = len(key.prefix), stop, guides
        self._answer_limit = answer_limit

    def run(self, rows: Rows, row_options: RowOptions | None = None) -> dict[str, tf.Tensor]:
        """The fields of ``Generated`` by name, dim 0 = batch.

        Args:
          rows: the prompts.
          row_options: per-row options of [batch] tensors; None takes the exported defaults, of at most
            ``answer_limit`` tokens.
        """
        with tf.device(CPU):
            chosen = self._defaults(tf.shape(rows.error)[0]) if row_options is None else row_options
            chosen = chosen._replace(seed=resolve_seeds(chosen.seed))
            if self.row_token_ids:
                chosen = with_extras(chosen, self.row_token_ids)
            if self.choices and chosen.guide is None:
                chosen = chosen._replace(guide=GUIDE_FIELD["guide"].off(tf.shape(rows.error)[0], 0))
        return self.program.run(rows, _per_row(chosen))

    def _defaults(self, batch: tf.Tensor) -> RowOptions:
        rows = default_rows(self.options, batch)
        return rows._replace(max_new_tokens=tf.minimum(rows.max_new_tokens, self._answer_limit))


def _per_row(rows: RowOptions) -> dict[str, tf.Tensor]:
    return {name: value for name, value in rows._asdict().items() if name != "finished" and value is not None}
