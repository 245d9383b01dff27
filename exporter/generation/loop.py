"""What greedy search, sampling and beam search share: a batch's set-up, and the loop of one token a step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, Self, TypeVar

import tensorflow as tf

from exporter.generation import history as past
from exporter.generation.generation_options import GenerationOptions
from exporter.generation.history import History
from exporter.generation.processors import Context, build_processors, needs_counts, needs_tokens
from exporter.generation.rows import RowOptions
from exporter.generation.step import Prompt, StepModel
from exporter.generation.stop import StopAutomaton


class State(Protocol):
    """Loop variables: a named tuple with at least these. The loop ends when all have finished."""

    @property
    def step(self) -> tf.Tensor: ...
    @property
    def token(self) -> tf.Tensor: ...
    @property
    def cache(self) -> Any: ...
    @property
    def history(self) -> History: ...
    @property
    def finished(self) -> tf.Tensor: ...
    def _replace(self, *, cache: Any) -> Self: ...


S = TypeVar("S", bound=State)


class Loop:
    """A batch that has read its prompts; ``n`` adjacent rows go on from each.

    Attributes:
      logits: float32 [batch * n, vocab], the model's after the prompt.
      cache, history: before the first token, [batch * n, ...].
      limits: int32 [batch * n], how many tokens each row may generate.
      stop: int32 [batch], the prompts' states of the stop strings' automaton; () without.
    """

    def __init__(
        self,
        model: StepModel,
        prompt: Prompt,
        options: GenerationOptions,
        rows: RowOptions,
        automaton: StopAutomaton | None,
        n: int,
        *,
        row_options: bool,
    ) -> None:
        """Reads the prompts; ``rows`` are [batch * n], the rest as in ``exporter.generation.generate``."""
        self.model, self.options, self.automaton = model, options, automaton
        most, vocab = options.max_new_tokens, model.vocab_size
        self.logits, self.cache = model.prefill(prompt, max_new_tokens=most)
        if n > 1:
            self.logits, self.cache = tf.repeat(self.logits, n, axis=0), self.cache.expand(n)
        self._lengths = tf.repeat(prompt.lengths, n)
        self.limits = row_limits(options, rows, self._lengths)
        self._rows = rows
        self._processors = build_processors(options, rows, prompt, vocab, n, row_options=row_options)
        tokens, counts = needs_tokens(options), needs_counts(options, row_options)
        self.history = past.expand(past.start_history(prompt, most, vocab, tokens=tokens, counts=counts), n)
        self.stop: Any = () if automaton is None else automaton.start(prompt)

    def run(self, state: S, advance: Callable[[S, tf.Tensor], S]) -> S:
        """The state when all have finished; ``advance`` adds a token to every row.

        It gets the state and the model's logits, float32 [rows, vocab].
        """

        def following(state: S, logits: tf.Tensor) -> S:
            return advance(state, tf.ensure_shape(logits, [None, self.model.vocab_size]))

        def body(state: S) -> tuple[S]:
            logits, cache = self.model.extend(state.token[:, None], self.cache.with_state(state.cache))
            return (following(state._replace(cache=cache.state), logits[:, 0]),)

        most = self.options.max_new_tokens
        (state,) = tf.while_loop(
            lambda state: (state.step < most) & tf.reduce_any(~state.finished),
            body,
            (following(state, self.logits),),
            maximum_iterations=most - 1,
        )
        return state

    def process(self, scores: tf.Tensor, state: State) -> tf.Tensor:
        """float32 [rows, vocab]: ``scores`` after the processors."""
        context = Context(state.step, state.history, self._lengths, self.limits, self.options.max_new_tokens)
        for process in self._processors:
            scores = process(scores, context)
        return scores

    def ends(self, token: tf.Tensor, stop: Any) -> tuple[tf.Tensor, Any]:
        """Whether each ``token`` (int32 of any shape) is an end; and the automaton's states after it."""
        ended = ends_row(token, self.options.eos_token_id, self._rows)
        if self.automaton is not None:
            stop = self.automaton.advance(stop, token)
            ended |= self.automaton.matched(stop)
        return ended, stop


def row_limits(options: GenerationOptions, rows: RowOptions, lengths: tf.Tensor) -> tf.Tensor:
    """int32 [rows]: how many tokens each row may generate; lengths are those of the prompts."""
    limits = tf.minimum(rows.max_new_tokens, options.max_new_tokens)
    if options.max_length is not None:
        limits = tf.minimum(limits, options.max_length - lengths)
    return limits


def ends_row(token: tf.Tensor, eos: Sequence[int], rows: RowOptions | None) -> tf.Tensor:
    """bool, shaped like ``token`` (with extras [rows, *]): whether it is an end by itself."""
    ended = is_any(token, eos)
    if rows is None or rows.stop_token_ids is None:
        return ended

    def by_row(value: tf.Tensor) -> tf.Tensor:
        return tf.reshape(value, [-1] + [1] * (len(token.shape) - 1))

    ended &= ~by_row(rows.ignore_eos)
    for column in range(rows.stop_token_ids.shape[1]):
        ended |= token == by_row(rows.stop_token_ids[:, column])
    return ended


def is_any(tokens: tf.Tensor, ids: Sequence[int]) -> tf.Tensor:
    """bool, shaped like ``tokens``: whether each is one of a few ids."""
    found = tf.zeros_like(tokens, tf.bool)
    for token in ids:
        found |= tokens == token
    return found
