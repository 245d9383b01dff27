"""The decoding loop of greedy search and sampling: one token per row and step, until every row has ended.

``exporter.generation.generate`` picks the strategy; beam search and prompt lookup have loops of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from exporter.generation import history as past
from exporter.generation.choice import best_token, draw_token
from exporter.generation.generation_options import GenerationOptions
from exporter.generation.history import History
from exporter.generation.processors import Context, build_processors, needs_counts, needs_tokens
from exporter.generation.record import Record, put_column, record_step, start_record
from exporter.generation.result import FinishReason, Generated
from exporter.generation.rows import RowOptions, expand_rows
from exporter.generation.step import Cache, Prompt, StepModel
from exporter.generation.stop import StopAutomaton
from exporter.generation.warpers import build_warpers

# Chooses a token for every row: (processed logits [rows, vocab], step) -> int32 [rows].
Choose = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


class Decoding(NamedTuple):
    """Loop variables; rows is batch * num_return_sequences, T is max_new_tokens.

    Attributes:
      step: int32 [], tokens generated so far.
      token: int32 [rows], the newest token of each row.
      cache: the state of the model's cache.
      history: what processors look at.
      stop: int32 [rows], the states of the stop strings' automaton; () without.
      sequences: int32 [rows, T].
      num_tokens: int32 [rows].
      finished: bool [rows].
      stopped: bool [rows], whether a row ended by itself.
      record: per-token outputs, [rows, 1, T, ...].
    """

    step: tf.Tensor
    token: tf.Tensor
    cache: Any
    history: History
    stop: Any
    sequences: tf.Tensor
    num_tokens: tf.Tensor
    finished: tf.Tensor
    stopped: tf.Tensor
    record: Record


def row_limits(options: GenerationOptions, rows: RowOptions, lengths: tf.Tensor) -> tf.Tensor:
    """int32 [rows]: how many tokens each row may generate; lengths are those of the prompts."""
    limits = tf.minimum(rows.max_new_tokens, options.max_new_tokens)
    if options.max_length is not None:
        limits = tf.minimum(limits, options.max_length - lengths)
    return limits


def build_choice(options: GenerationOptions, rows: RowOptions, *, row_options: bool) -> Choose:
    """Greedy or drawing, fixed by the signature or chosen by each row's temperature."""
    if not row_options and not options.do_sample:
        return lambda logits, step: best_token(logits)
    warpers = build_warpers(options, rows, row_options=row_options)

    def draw(logits: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        for warp in warpers:
            logits = warp(logits)
        return draw_token(logits, rows.seed, step)

    if not row_options:
        return draw
    sampled = rows.temperature > 0

    def choose(logits: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        def mixed() -> tf.Tensor:
            return tf.where(sampled, draw(logits, step), best_token(logits))

        # A batch without a sampled row pays nothing for cutoffs.
        return tf.cond(tf.reduce_any(sampled & ~rows.finished), mixed, lambda: best_token(logits))

    return choose


def is_any(tokens: tf.Tensor, ids: Sequence[int]) -> tf.Tensor:
    """bool, shaped like ``tokens``: whether each is one of a few ids."""
    found = tf.zeros_like(tokens, tf.bool)
    for token in ids:
        found |= tokens == token
    return found


def decode(
    model: StepModel,
    prompt: Prompt,
    options: GenerationOptions,
    rows: RowOptions,
    automaton: StopAutomaton | None,
    *,
    row_options: bool,
) -> Generated:
    """Greedy search and sampling; arguments and result as in ``exporter.generation.generate``."""
    n, vocab = options.num_return_sequences, model.vocab_size
    logits, cache = model.prefill(prompt, max_new_tokens=options.max_new_tokens)
    rows = expand_rows(rows, n)
    if n > 1:
        # [batch, vocab] -> [batch * n, vocab]
        logits, cache = tf.repeat(logits, n, axis=0), cache.expand(n)
    lengths = tf.repeat(prompt.lengths, n)
    limits = row_limits(options, rows, lengths)
    processors = build_processors(options, rows, prompt, vocab, n, row_options=row_options)
    choose = build_choice(options, rows, row_options=row_options)

    def advance(state: Decoding, logits: tf.Tensor) -> Decoding:
        """Chooses every row's next token and records it."""
        logits = tf.ensure_shape(logits, [None, vocab])
        context = Context(state.step, state.history, lengths, limits, options.max_new_tokens)
        scores = logits
        for process in processors:
            scores = process(scores, context)
        token = choose(scores, state.step)
        return _record(state, token, logits, limits, options, automaton)

    def body(state: Decoding) -> tuple[Decoding]:
        step_logits, following = model.extend(state.token[:, None], cache.with_state(state.cache))
        return (advance(state._replace(cache=following.state), step_logits[:, 0]),)

    history = past.start_history(
        prompt,
        options.max_new_tokens,
        vocab,
        tokens=needs_tokens(options),
        counts=needs_counts(options, row_options),
    )
    stop = () if automaton is None else tf.repeat(automaton.start(prompt), n)
    state = _start(options, rows, limits, cache, past.expand(history, n), stop)
    (state,) = tf.while_loop(
        lambda state: (state.step < options.max_new_tokens) & tf.reduce_any(~state.finished),
        body,
        (advance(state, logits),),
        maximum_iterations=options.max_new_tokens - 1,
    )
    return _result(state, options)


def _start(
    options: GenerationOptions,
    rows: RowOptions,
    limits: tf.Tensor,
    cache: Cache,
    history: History,
    stop: Any,
) -> Decoding:
    """The state before the first token."""
    empty = tf.zeros_like(rows.max_new_tokens)  # [rows]
    columns = tf.zeros([1, options.max_new_tokens], tf.int32) + empty[:, None]  # [rows, T]
    return Decoding(
        step=tf.constant(0),
        token=empty,
        cache=cache.state,
        history=history,
        stop=stop,
        sequences=columns + options.pad_token_id,
        num_tokens=empty,
        finished=rows.finished | (limits < 1),
        stopped=rows.finished & False,
        record=start_record(columns[:, None], options, scores=options.scores),
    )


def _record(
    state: Decoding,
    token: tf.Tensor,
    logits: tf.Tensor,
    limits: tf.Tensor,
    options: GenerationOptions,
    automaton: StopAutomaton | None,
) -> Decoding:
    """The state after ``token`` (int32 [rows]), chosen where the model gave ``logits``."""
    step, live = state.step, ~state.finished
    ended = is_any(token, options.eos_token_id)
    stop = state.stop
    if automaton is not None:
        stop = automaton.advance(stop, token)
        ended |= automaton.matched(stop)
    return Decoding(
        step=step + 1,
        token=token,
        cache=state.cache,
        history=past.append(state.history, token, step, options.max_new_tokens),
        stop=stop,
        sequences=put_column(state.sequences, step, tf.where(live, token, options.pad_token_id)),
        num_tokens=state.num_tokens + tf.cast(live, tf.int32),
        finished=state.finished | ended | (step + 1 >= limits),
        stopped=state.stopped | (live & ended),
        record=record_step(
            state.record, step, logits[:, None], tf.zeros_like(token[:, None]), token[:, None]
        ),
    )


def _result(state: Decoding, options: GenerationOptions) -> Generated:
    """[batch * n, ...] -> [batch, n, ...]"""
    n = options.num_return_sequences
    reason = tf.where(state.stopped, int(FinishReason.STOP), int(FinishReason.LENGTH))
    # [batch * n, 1, ...] -> [batch, n, ...]
    record = Record(*(_split(part[:, 0], n) if isinstance(part, tf.Tensor) else () for part in state.record))
    num_tokens = _split(state.num_tokens, n)
    record = record.cut(num_tokens)
    return Generated(
        sequences=_split(state.sequences, n),
        num_tokens=num_tokens,
        finish_reason=_split(reason, n),
        score=tf.reduce_sum(record.logprobs, axis=-1) if options.scores else None,
        **record.outputs(options),
    )


def _split(tensor: tf.Tensor, n: int) -> tf.Tensor:
    return tf.reshape(tensor, tf.concat([[-1, n], tf.shape(tensor)[1:]], axis=0))
