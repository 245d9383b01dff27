"""What greedy search, sampling and beam search share: a batch's set-up, and the loop of one token a step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, Self, TypeVar

import tensorflow as tf

from exporter.generation import history as past
from exporter.generation.generation_options import GenerationOptions
from exporter.generation.guides import Guides
from exporter.generation.history import History
from exporter.generation.processors import (
    Context,
    Processor,
    build_processors,
    can_ban,
    needs_counts,
    needs_tokens,
)
from exporter.generation.result import FinishReason, finish_reason
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
      most: static, how many tokens the loop adds at most: ``max_new_tokens``, or a piece of them.
      limits: int32 [batch * n], how many tokens each row's answer may have.
      room: int32 [batch * n], how many of them the loop may add.
      ended: bool [batch * n], rows whose answer had ended in an earlier piece.
      stop: int32 [batch], the prompts' states of the stop strings' automaton; () without.
      guide: int32 [batch * n], the first states of the guides; () without.
    """

    def __init__(
        self,
        model: StepModel,
        prompt: Prompt,
        options: GenerationOptions,
        rows: RowOptions,
        automaton: StopAutomaton | None,
        guides: Guides | None,
        n: int,
        *,
        row_options: bool,
        piece: int = 0,
    ) -> None:
        """Reads the prompts; ``rows`` are [batch * n], the rest as in ``exporter.generation.generate``."""
        self.model, self.options, self.automaton, self.guides = model, options, automaton, guides
        self.most, vocab, done = piece or options.max_new_tokens, model.vocab_size, rows.num_generated
        most = self.most
        self.logits, self.cache = model.prefill(prompt, max_new_tokens=most)
        if n > 1:
            self.logits, self.cache = tf.repeat(self.logits, n, axis=0), self.cache.expand(n)
        self._lengths = tf.repeat(prompt.lengths, n) - (0 if done is None else done)
        self.limits = self.room = row_limits(options, rows, self._lengths)
        if done is not None:
            self.room = tf.minimum(self.limits - done, rows.piece_tokens)
        self._rows = rows
        self._processors = build_processors(options, rows, prompt, vocab, n, row_options=row_options)
        self._bans = can_ban(options, rows)
        tokens, counts = needs_tokens(options), needs_counts(options, row_options)
        history = past.start_history(prompt, most, vocab, tokens=tokens, counts=counts, done=done)
        self.history = past.expand(history, n)
        self.stop: Any = ()
        if automaton is not None:
            self.stop = automaton.start(prompt, done, options.max_new_tokens)
        self.guide: Any = () if guides is None else self._guide_states(guides, prompt, done)
        self.ended = rows.finished & False if done is None else self._ended(prompt, done)

    def _guide_states(self, guides: Guides, prompt: Prompt, done: tf.Tensor | None) -> tf.Tensor:
        """int32 [batch * n]: where the rows' guides begin, or stand after the ``done`` tokens of answers."""
        start = guides.start(row_guides(self._rows))
        if done is None:
            return start
        length = tf.shape(prompt.tokens)[1]
        columns = length - done[:, None] + tf.range(self.options.max_new_tokens)
        given = tf.gather(prompt.tokens, tf.clip_by_value(columns, 0, length - 1), axis=1, batch_dims=1)
        return guides.after(given, done, start)

    def _ended(self, prompt: Prompt, done: tf.Tensor) -> tf.Tensor:
        """bool [batch]: whether the newest token that was read has ended its answer."""
        ended = ends_row(prompt.tokens[:, -1], self.options.eos_token_id, self._rows)
        if self.automaton is not None:
            ended |= self.automaton.matched(self.stop)
        return (done > 0) & ended

    def step_of(self, state: State) -> tf.Tensor:
        """int32 [], in pieces [rows]: how many tokens each answer has."""
        done = self._rows.num_generated
        return state.step if done is None else state.step + done

    def finish_reason(self, stopped: tf.Tensor, num_tokens: tf.Tensor) -> tf.Tensor:
        """int32 [rows]: why each row has ended; NONE where its answer goes on in another piece."""
        reason, done = finish_reason(stopped), self._rows.num_generated
        if done is None:
            return reason
        return tf.where(~stopped & (done + num_tokens < self.limits), int(FinishReason.NONE), reason)

    def stop_states(self, after: Any) -> tf.Tensor | None:
        """int32 [rows, 1, 2]: the automaton's states before and after a piece; None without either."""
        if self.automaton is None or self._rows.num_generated is None:
            return None
        return tf.stack([self.stop, after], axis=-1)[:, None]

    def run(self, state: S, advance: Callable[[S, tf.Tensor], S]) -> S:
        """The state when all have finished; ``advance`` adds a token to every row.

        It gets the state and the model's logits, float32 [rows, vocab].
        """

        def following(state: S, logits: tf.Tensor) -> S:
            return advance(state, tf.ensure_shape(logits, [None, self.model.vocab_size]))

        def body(state: S) -> tuple[S]:
            logits, cache = self.model.extend(state.token[:, None], self.cache.with_state(state.cache))
            return (following(state._replace(cache=cache.state), logits[:, 0]),)

        most = self.most
        (state,) = tf.while_loop(
            lambda state: (state.step < most) & tf.reduce_any(~state.finished),
            body,
            (following(state, self.logits),),
            maximum_iterations=most - 1,
        )
        return state

    def process(self, scores: tf.Tensor, state: State, guide: Any) -> tf.Tensor:
        """float32 [rows, vocab]: ``scores`` after the processors and the guides, in states ``guide``."""
        context = Context(
            self.step_of(state), state.history, self._lengths, self.limits, self.most, state.step
        )
        after = processed(scores, context, self._processors)
        if self.guides is None:
            return after
        return self.guides.mask(after, guide, scores if self._bans else None)

    def ends(self, token: tf.Tensor, stop: Any) -> tuple[tf.Tensor, Any]:
        """Whether each ``token`` (int32 of any shape) is an end; and the automaton's states after it."""
        ended = ends_row(token, self.options.eos_token_id, self._rows)
        if self.automaton is not None:
            stop = self.automaton.advance(stop, token)
            ended |= self.automaton.matched(stop)
        return ended, stop

    def guided(self, guide: Any, token: tf.Tensor) -> Any:
        """The guides' states after each ``token`` (int32 of any shape)."""
        return () if self.guides is None else self.guides.advance(guide, token)


def processed(scores: tf.Tensor, context: Context, processors: Sequence[Processor]) -> tf.Tensor:
    """float32 [rows, vocab]: ``scores`` after the processors."""
    for process in processors:
        scores = process(scores, context)
    return scores


def row_guides(rows: RowOptions) -> tf.Tensor:
    """int32 [rows]: the number of each row's guide; without a choice all rows follow the first."""
    return tf.zeros_like(rows.max_new_tokens) if rows.guide is None else rows.guide


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
