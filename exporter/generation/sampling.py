"""Greedy search and sampling: one token per row and step, until every row has ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from exporter.generation import history as past
from exporter.generation.choice import best_token, draw_token, drawn_or_best
from exporter.generation.generation_options import GenerationOptions
from exporter.generation.guides import Guides
from exporter.generation.history import History
from exporter.generation.loop import Loop
from exporter.generation.record import Record, put_column, record_step, start_record
from exporter.generation.result import Generated
from exporter.generation.rows import RowOptions, expand_rows
from exporter.generation.step import Prompt, StepModel
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
      guide: int32 [rows], the states of the guides; () without.
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
    guide: Any
    sequences: tf.Tensor
    num_tokens: tf.Tensor
    finished: tf.Tensor
    stopped: tf.Tensor
    record: Record


def build_choice(options: GenerationOptions, rows: RowOptions, *, row_options: bool) -> Choose:
    """Greedy or drawing, fixed by the signature or chosen by each row's temperature."""

    def best(logits: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        return best_token(logits)

    if not row_options and not options.do_sample:
        return best
    warpers = build_warpers(options, rows, row_options=row_options)

    def draw(logits: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        for warp in warpers:
            logits = warp(logits)
        return draw_token(logits, rows.seed, step)

    return drawn_or_best(rows, draw, best) if row_options else draw


def decode(
    model: StepModel,
    prompt: Prompt,
    options: GenerationOptions,
    rows: RowOptions,
    automaton: StopAutomaton | None,
    guides: Guides | None = None,
    *,
    row_options: bool,
    piece: int = 0,
) -> Generated:
    """Greedy search and sampling; arguments and result as in ``exporter.generation.generate``."""
    n = options.num_return_sequences
    rows = expand_rows(rows, n)
    loop = Loop(model, prompt, options, rows, automaton, guides, n, row_options=row_options, piece=piece)
    choose = build_choice(options, rows, row_options=row_options)

    def advance(state: Decoding, logits: tf.Tensor) -> Decoding:
        """Chooses every row's next token and records it."""
        scores = loop.process(logits, state, state.guide)
        return _record(loop, state, choose(scores, loop.step_of(state)), logits)

    return _result(loop, loop.run(_start(loop, rows), advance))


def _start(loop: Loop, rows: RowOptions) -> Decoding:
    """The state before the first token."""
    options = loop.options
    empty = tf.zeros_like(rows.max_new_tokens)  # [rows]
    columns = tf.zeros([1, loop.most], tf.int32) + empty[:, None]  # [rows, T]
    return Decoding(
        step=tf.constant(0),
        token=empty,
        cache=loop.cache.state,
        history=loop.history,
        stop=() if loop.automaton is None else tf.repeat(loop.stop, options.num_return_sequences),
        guide=loop.guide,
        sequences=columns + options.pad_token_id,
        num_tokens=empty,
        finished=rows.finished | loop.ended | (loop.room < 1),
        stopped=loop.ended,
        record=start_record(columns[:, None], options, scores=options.scores),
    )


def _record(loop: Loop, state: Decoding, token: tf.Tensor, logits: tf.Tensor) -> Decoding:
    """The state after ``token`` (int32 [rows]), chosen where the model gave ``logits``."""
    options, step, live = loop.options, state.step, ~state.finished
    ended, stop = loop.ends(token, state.stop)
    if loop.automaton is not None:
        stop = tf.where(live, stop, state.stop)  # what follows a piece belongs to the next one
    return Decoding(
        step=step + 1,
        token=token,
        cache=state.cache,
        history=past.append(state.history, token, step, loop.most),
        stop=stop,
        guide=loop.guided(state.guide, token),
        sequences=put_column(state.sequences, step, tf.where(live, token, options.pad_token_id)),
        num_tokens=state.num_tokens + tf.cast(live, tf.int32),
        finished=state.finished | ended | (step + 1 >= loop.room),
        stopped=state.stopped | (live & ended),
        record=record_step(
            state.record, step, logits[:, None], tf.zeros_like(token[:, None]), token[:, None]
        ),
    )


def _result(loop: Loop, state: Decoding) -> Generated:
    """[batch * n, ...] -> [batch, n, ...]"""
    options = loop.options
    n = options.num_return_sequences
    # [batch * n, 1, ...] -> [batch, n, ...]
    record = Record(*(_split(part[:, 0], n) if isinstance(part, tf.Tensor) else () for part in state.record))
    num_tokens = _split(state.num_tokens, n)
    record = record.cut(num_tokens)
    return Generated(
        sequences=_split(state.sequences, n),
        num_tokens=num_tokens,
        finish_reason=_split(loop.finish_reason(state.stopped, state.num_tokens), n),
        score=tf.reduce_sum(record.logprobs, axis=-1) if options.scores else None,
        stop_states=loop.stop_states(state.stop),
        **record.outputs(options),
    )


def _split(tensor: tf.Tensor, n: int) -> tf.Tensor:
    return tf.reshape(tensor, tf.concat([[-1, n], tf.shape(tensor)[1:]], axis=0))
