"""Beam search and beam sampling, as ``GenerationMixin._beam_search`` of transformers 5 does it.

Every prompt has ``num_beams`` running beams and a pool of as many finished ones. A step looks at the best
continuations of all running beams together: those that end go to the pool if they are among the best
``num_beams``, the best of the others run on. A prompt is done when its pool can no longer improve; from then
on its pool does not change, so it is answered as if it stood alone in the batch.

Only what was generated is reordered: the prompt's keys and values stay where they are, once per prompt.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from exporter.generation import history as past
from exporter.generation.choice import draw_without_replacement, drawn_or_best, where_rows
from exporter.generation.generation_options import GenerationOptions
from exporter.generation.guides import Guides
from exporter.generation.history import History
from exporter.generation.loop import Loop
from exporter.generation.record import Record, put_column, record_step, start_record
from exporter.generation.result import Generated, finish_reason
from exporter.generation.rows import RowOptions, repeat_rows
from exporter.generation.step import Prompt, StepModel
from exporter.generation.stop import StopAutomaton
from exporter.generation.topk import largest
from exporter.generation.warpers import build_warpers

# What the reference adds to a score to take a beam out of the running.
_OUT = -1.0e9


class Beams(NamedTuple):
    """A set of hypotheses: the running ones, the finished ones (both best first), or a step's candidates.

    Attributes:
      score: float32 [batch, beams]: the sum of log-probabilities; of a finished one, with length penalty.
      sequences: int32 [batch, beams, T].
      length: int32 [batch, beams], tokens generated.
      ended: bool [batch, beams], whether an end-of-sequence token or a stop string ended it.
      real: bool [batch, beams], whether it is finished; False in the pool: a place not taken yet.
      stop: int32 [batch, beams], state of the stop strings' automaton; () without.
      guide: int32 [batch, beams], state of the guide; () without.
      record: per-token outputs, [batch, beams, T, ...].
    """

    score: tf.Tensor
    sequences: tf.Tensor
    length: tf.Tensor
    ended: tf.Tensor
    real: tf.Tensor
    stop: Any
    guide: Any
    record: Record


class Search(NamedTuple):
    """Loop variables.

    Attributes:
      step: int32 [].
      running, pool: the hypotheses.
      token: int32 [batch * beams], the running ones' newest token.
      cache, history: of the running ones, [batch * beams, ...].
      improvable: bool [batch, 1], whether the pool could still improve (the reference's heuristic).
      finished: bool [batch, 1], whether the prompt's search is over.
    """

    step: tf.Tensor
    running: Beams
    pool: Beams
    token: tf.Tensor
    cache: Any
    history: History
    improvable: tf.Tensor
    finished: tf.Tensor


class Candidates(NamedTuple):
    """The continuations of a step, [batch, candidates]; ``origin`` is the running beam it continues."""

    score: tf.Tensor
    origin: tf.Tensor
    token: tf.Tensor


# The step's candidates: (scores [batch * beams, vocab], running scores [batch, beams], step).
Propose = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], Candidates]


def beam_search(
    model: StepModel,
    prompt: Prompt,
    options: GenerationOptions,
    rows: RowOptions,
    automaton: StopAutomaton | None,
    guides: Guides | None = None,
    *,
    row_options: bool,
) -> Generated:
    """Beam search and beam sampling; arguments and result as in ``exporter.generation.generate``."""
    beams = options.num_beams
    wide = repeat_rows(rows, beams)
    loop = Loop(model, prompt, options, wide, automaton, guides, beams, row_options=row_options)
    propose = _build_proposal(options, rows, wide, model.vocab_size, row_options=row_options)

    def advance(search: Search, logits: tf.Tensor) -> Search:
        guide = () if guides is None else tf.reshape(search.running.guide, [-1])
        scores = loop.process(tf.nn.log_softmax(logits, axis=-1), search, guide)
        candidates = propose(scores, search.running.score, search.step)
        return _select(loop, search, candidates, _continue(loop, search, candidates, logits))

    return _result(loop.run(_start(loop, rows), advance).pool, options)


def _build_proposal(
    options: GenerationOptions, rows: RowOptions, wide: RowOptions, vocab: int, *, row_options: bool
) -> Propose:
    """How candidates are found: the best, or drawn; fixed by the signature or by each row's temperature."""
    beams = options.num_beams
    count = max(2, 1 + len(options.eos_token_id)) * beams
    warpers = build_warpers(options, wide, row_options=row_options)

    def total(scores: tf.Tensor, running: tf.Tensor) -> tf.Tensor:
        if options.renormalize_logits:
            scores = tf.nn.log_softmax(scores, axis=-1)
        # [batch * beams, vocab] -> [batch, beams * vocab]
        return tf.reshape(tf.reshape(scores, [-1, beams, vocab]) + running[:, :, None], [-1, beams * vocab])

    def best(scores: tf.Tensor, running: tf.Tensor, step: tf.Tensor) -> Candidates:
        score, index = largest(total(scores, running), count)
        return Candidates(score, index // vocab, index % vocab)

    def drawn(scores: tf.Tensor, running: tf.Tensor, step: tf.Tensor) -> Candidates:
        for warp in warpers:
            scores = warp(scores)
        accumulated = total(scores, running)
        index, valid = draw_without_replacement(accumulated, count, rows.seed, step)
        score = tf.where(valid, tf.gather(accumulated, index, axis=1, batch_dims=1), _OUT)
        return Candidates(score, index // vocab, index % vocab)

    if row_options:
        return drawn_or_best(rows, drawn, best)
    return drawn if options.do_sample else best


def _continue(loop: Loop, search: Search, candidates: Candidates, logits: tf.Tensor) -> Beams:
    """The candidates as hypotheses: their origins' sequences with the new token."""
    old = _take(search.running._replace(score=()), candidates.origin)
    ended, stop = loop.ends(candidates.token, old.stop)
    guide, score = loop.guided(old.guide, candidates.token), candidates.score
    if loop.guides is not None:
        # Where too few tokens are allowed, candidates are others: such a beam never comes back.
        score = tf.where(guide < 0, -math.inf, score)
    by_beam = tf.reshape(logits, [-1, loop.options.num_beams, logits.shape[1]])
    return Beams(
        score=score,
        sequences=put_column(old.sequences, search.step, candidates.token),
        length=old.length + 1,
        ended=ended,
        real=tf.zeros_like(ended),
        stop=stop,
        guide=guide,
        record=record_step(old.record, search.step, by_beam, candidates.origin, candidates.token),
    )


def _select(loop: Loop, search: Search, candidates: Candidates, continued: Beams) -> Search:
    """The next running beams and the new pool."""
    options, step = loop.options, search.step
    beams, limits = options.num_beams, loop.limits[:: options.num_beams, None]  # [batch, 1]
    hits = continued.ended | (step + 1 >= limits)  # [batch, candidates]
    going_on = continued._replace(score=continued.score + tf.cast(hits, tf.float32) * _OUT)
    score, index = largest(going_on.score, beams)
    running = _take(going_on, index)._replace(score=score)
    origin = tf.gather(candidates.origin, index, axis=1, batch_dims=1)
    # [batch, beams] -> [batch * beams], numbering rows instead of beams
    flat = tf.reshape(origin + beams * tf.range(tf.shape(origin)[0])[:, None], [-1])
    token = tf.reshape(tf.gather(candidates.token, index, axis=1, batch_dims=1), [-1])
    pool = where_rows(search.finished[:, 0], search.pool, _update_pool(search, continued, hits, options))
    improvable = search.improvable & _can_improve(running, pool, step + 1, limits, options)
    full = tf.reduce_all(pool.real, axis=1, keepdims=True) & (options.early_stopping is True)
    finished = search.finished | ~improvable | full | tf.reduce_all(hits, axis=1, keepdims=True)
    history = past.append(past.reorder(search.history, flat), token, step, options.max_new_tokens)
    state = loop.cache.with_state(search.cache).reorder(flat).state
    return Search(step + 1, running, pool, token, state, history, improvable, finished)


def _update_pool(search: Search, continued: Beams, hits: tf.Tensor, options: GenerationOptions) -> Beams:
    """The best of the pool and of the candidates that just ended (``_update_finished_beams``)."""
    # Candidates after the first num_beams only exist to run on.
    just_ended = hits & (tf.range(tf.shape(hits)[1]) < options.num_beams)
    length = tf.cast(search.step + 1, tf.float32)
    full = tf.reduce_all(search.pool.real, axis=1, keepdims=True) & (options.early_stopping is True)
    score = continued.score / tf.pow(length, options.length_penalty)
    for out in (full, ~search.improvable, ~just_ended):
        score += tf.cast(out, tf.float32) * _OUT
    ended = continued._replace(score=score, real=just_ended)
    merged = tf.nest.map_structure(lambda a, b: tf.concat([a, b], axis=1), search.pool, ended)
    best, index = largest(merged.score, options.num_beams)
    return _take(merged, index)._replace(score=best)


def _can_improve(
    running: Beams, pool: Beams, length: tf.Tensor, limits: tf.Tensor, options: GenerationOptions
) -> tf.Tensor:
    """bool [batch, 1]: whether a running beam could beat the pool (``_check_early_stop_heuristic``)."""
    if options.early_stopping == "never" and options.length_penalty > 0:
        length = limits
    best = running.score[:, :1] / tf.pow(tf.cast(length, tf.float32), options.length_penalty)
    worst = tf.where(pool.real, tf.reduce_min(pool.score, axis=1, keepdims=True), _OUT)
    return tf.reduce_any(best > worst, axis=1, keepdims=True)


def _start(loop: Loop, rows: RowOptions) -> Search:
    """The state before the first token."""
    options = loop.options
    beam = tf.range(options.num_beams)
    zero = tf.zeros_like(rows.max_new_tokens)[:, None] + tf.zeros_like(beam)  # [batch, beams]
    sequences = zero[:, :, None] + tf.fill([options.max_new_tokens], options.pad_token_id)
    running = Beams(
        # All beams are the same before the first token: only the first may be continued.
        score=tf.where(beam == 0, 0.0, _OUT) + tf.cast(zero, tf.float32),
        sequences=sequences,
        length=zero,
        ended=zero > 0,
        real=zero > 0,
        # [batch] -> [batch, beams]
        stop=() if loop.automaton is None else tf.repeat(loop.stop[:, None], options.num_beams, axis=1),
        guide=() if loop.guides is None else tf.reshape(loop.guide, tf.shape(zero)),
        record=start_record(sequences, options),
    )
    finished = (rows.finished | (loop.limits[:: options.num_beams] < 1))[:, None]
    return Search(
        step=tf.constant(0),
        running=running,
        pool=running._replace(score=tf.zeros_like(running.score) + _OUT),
        token=tf.reshape(zero, [-1]),
        cache=loop.cache.state,
        history=loop.history,
        improvable=tf.ones_like(finished),
        finished=finished,
    )


def _take(nest: Any, index: tf.Tensor) -> Any:
    """Hypotheses by number: tensors [batch, beams, ...] -> [batch, k, ...], for index int32 [batch, k]."""
    return tf.nest.map_structure(lambda tensor: tf.gather(tensor, index, axis=1, batch_dims=1), nest)


def _result(pool: Beams, options: GenerationOptions) -> Generated:
    """The best ``num_return_sequences`` of every pool."""
    best: Beams = tf.nest.map_structure(lambda tensor: tensor[:, : options.num_return_sequences], pool)
    num_tokens = tf.where(best.real, best.length, 0)
    return Generated(
        sequences=tf.where(best.real[:, :, None], best.sequences, options.pad_token_id),
        num_tokens=num_tokens,
        finish_reason=finish_reason(best.ended),
        score=tf.where(best.real, best.score, 0.0),
        **best.record.cut(num_tokens).outputs(options),
    )
