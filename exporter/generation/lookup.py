"""Prompt lookup: greedy search that reads several tokens at once where the text repeats itself.

Guesses are copied from where the newest tokens occurred before, and the model reads them in one step; those
it would have chosen itself are kept, the rest is taken back. The ids are those of greedy search, whatever is
guessed (Leviathan et al., "Fast inference from transformers via speculative decoding", 2023; Saxena, "Prompt
lookup decoding", 2023).

On the cpu target the loop takes single steps where nothing repeats; where guesses turn out wrong it guesses
rarely, so that they cost a bounded share of the time. On the gpu target every step reads the guesses: a step
there takes about as long for some tokens as for one, and choosing between the two would wait for the host.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from exporter.generation.choice import best_token
from exporter.generation.generation_options import GenerationOptions
from exporter.generation.history import NO_TOKEN, prompt_tokens
from exporter.generation.loop import is_any, row_limits
from exporter.generation.result import Generated, finish_reason
from exporter.generation.rows import RowOptions
from exporter.generation.step import Prompt, StepModel
from exporter.generation.stop import StopAutomaton
from exporter.targets import current_target


class Lookup(NamedTuple):
    """Loop variables.

    Attributes:
      text: int32 [rows, length + T]: prompt (left-padded) and generated tokens, NO_TOKEN elsewhere.
      count: int32 [rows], tokens generated.
      token: int32 [rows], the newest of them, not read yet.
      guesses: int32 [rows, k], what may follow it; NO_TOKEN where nothing was found.
      cache: the state of the model's cache.
      stop: int32 [rows], states of the stop strings' automaton; () without.
      finished, stopped: bool [rows].
      credit: float32 [], steps that guessing has saved and not spent again.
    """

    text: tf.Tensor
    count: tf.Tensor
    token: tf.Tensor
    guesses: tf.Tensor
    cache: Any
    stop: Any
    finished: tf.Tensor
    stopped: tf.Tensor
    credit: tf.Tensor


class Verdict(NamedTuple):
    """What a step adds to each row: the first ``emitted`` columns of ``tokens`` int32 [rows, k + 1]."""

    tokens: tf.Tensor
    emitted: tf.Tensor
    ended: tf.Tensor
    stop: Any


#: What every step adds to the credit: the share of the time that wrong guesses may cost.
_ALLOWANCE = 0.07


def _price(rows: tf.Tensor, k: int) -> tf.Tensor:
    """float32 []: how many single steps a step with ``k`` guesses costs more than one without.

    A line through estimates for a GPT-2 of 124M parameters on two cores (docs/performance-notes.md); only the
    cpu target asks.
    """
    return 0.5 + tf.cast(rows * (k + 1), tf.float32) / 40.0


def lookup_search(
    model: StepModel,
    prompt: Prompt,
    options: GenerationOptions,
    rows: RowOptions,
    automaton: StopAutomaton | None,
) -> Generated:
    """Greedy search without processors; arguments and result as in ``exporter.generation.generate``."""
    k, most = options.prompt_lookup_num_tokens, options.max_new_tokens
    logits, cache = model.prefill(prompt, max_new_tokens=most)
    cache = cache.per_row(k + 1)
    limits = row_limits(options, rows, prompt.lengths)
    first = tf.pad(prompt_tokens(prompt), [[0, 0], [0, most]], constant_values=NO_TOKEN)
    none = tf.zeros_like(limits)
    price = _price(tf.shape(limits)[0], k)
    state = Lookup(
        text=first,
        count=none,
        token=none,
        guesses=tf.fill([tf.shape(first)[0], k], NO_TOKEN),
        cache=cache.state,
        stop=() if automaton is None else automaton.start(prompt),
        finished=rows.finished | (limits < 1),
        stopped=none > 0,
        credit=price,
    )

    def read(state: Lookup, width: int) -> Lookup:
        """One call of the model: the newest token and the first ``width - 1`` guesses."""
        guesses = state.guesses[:, : width - 1]
        tokens = tf.concat([state.token[:, None], tf.maximum(guesses, 0)], axis=1)
        step_logits, following = model.extend(
            tf.ensure_shape(tokens, [None, width]), cache.with_state(state.cache)
        )
        best = tf.reshape(best_token(tf.reshape(step_logits, [-1, model.vocab_size])), [-1, width])
        # How many guesses the model agrees with; a finished row takes everything back.
        agreed = tf.reduce_sum(tf.math.cumprod(tf.cast(best[:, :-1] == guesses, tf.int32), axis=1), axis=1)
        kept = tf.where(state.finished, 0, agreed + 1)
        verdict = _judge(state, best, agreed + 1, limits, options, automaton)
        credit = state.credit + _ALLOWANCE
        if width > 1:
            live = tf.cast(~state.finished, tf.float32)
            saved = tf.reduce_sum(live * tf.cast(verdict.emitted - 1, tf.float32))
            credit += saved / tf.maximum(tf.reduce_sum(live), 1.0) - price
        state = state._replace(
            cache=following.truncate(width - kept).state, credit=tf.minimum(credit, 3.0 * price)
        )
        return _write(state, verdict, limits, options)

    best = best_token(tf.ensure_shape(logits, [None, model.vocab_size]))[:, None]
    state = _write(state, _judge(state, best, none + 1, limits, options, automaton), limits, options)

    def unfinished(state: Lookup) -> tf.Tensor:
        return tf.reduce_any(~state.finished)

    def guessed(state: Lookup) -> tf.Tensor:
        return tf.reduce_any((state.guesses[:, 0] >= 0) & ~state.finished) & (state.credit >= price)

    def wide(state: Lookup) -> tuple[Lookup]:
        return (read(state, k + 1),)

    def body(state: Lookup) -> tuple[Lookup]:
        # Two inner loops instead of a conditional, which would copy the cache.
        (state,) = tf.while_loop(
            lambda state: unfinished(state) & ~guessed(state), lambda state: (read(state, 1),), (state,)
        )
        (state,) = tf.while_loop(guessed, wide, (state,))
        return (state,)

    (state,) = tf.while_loop(unfinished, wide if current_target() == "gpu" else body, (state,))
    return _result(state, options)


def _judge(
    state: Lookup,
    tokens: tf.Tensor,
    usable: tf.Tensor,
    limits: tf.Tensor,
    options: GenerationOptions,
    automaton: StopAutomaton | None,
) -> Verdict:
    """Cuts the model's tokens [rows, width], of which ``usable`` count, at the first end and at the limit."""
    width = tokens.shape[1]
    ends = is_any(tokens, options.eos_token_id)
    states = []
    if automaton is not None:
        reached = state.stop
        for column in range(width):
            reached = automaton.advance(reached, tokens[:, column])
            states.append(reached)
        ends |= automaton.matched(tf.stack(states, axis=1))
    usable = tf.minimum(usable, limits - state.count)
    inside = tf.range(width) < usable[:, None]
    end = tf.reduce_min(tf.where(ends & inside, tf.range(width), width), axis=1)
    emitted = tf.where(state.finished, 0, tf.minimum(usable, end + 1))
    stop = state.stop
    if automaton is not None:
        last = tf.gather(tf.stack(states, axis=1), tf.maximum(emitted - 1, 0), axis=1, batch_dims=1)
        stop = tf.where(emitted > 0, last, state.stop)
    return Verdict(tokens, emitted, (end < usable) & ~state.finished, stop)


def _write(state: Lookup, verdict: Verdict, limits: tf.Tensor, options: GenerationOptions) -> Lookup:
    """Appends a verdict and guesses anew."""
    start = tf.shape(state.text)[1] - options.max_new_tokens
    offset = tf.range(tf.shape(state.text)[1]) - (start + state.count)[:, None]  # [rows, length + T]
    new = tf.gather(
        verdict.tokens, tf.clip_by_value(offset, 0, verdict.tokens.shape[1] - 1), axis=1, batch_dims=1
    )
    text = tf.where((offset >= 0) & (offset < verdict.emitted[:, None]), new, state.text)
    count = state.count + verdict.emitted
    last = tf.gather(verdict.tokens, tf.maximum(verdict.emitted - 1, 0), axis=1, batch_dims=1)
    return Lookup(
        text=text,
        count=count,
        token=tf.where(verdict.emitted > 0, last, state.token),
        guesses=guess(text, start + count, options.prompt_lookup_num_tokens, options.max_matching_ngram_size),
        cache=state.cache,
        stop=verdict.stop,
        finished=state.finished | verdict.ended | (count >= limits),
        stopped=state.stopped | verdict.ended,
        credit=state.credit,
    )


def guess(text: tf.Tensor, end: tf.Tensor, k: int, longest: int) -> tf.Tensor:
    """What followed the newest tokens when they last occurred.

    The longest n-gram of at most ``longest`` newest tokens that occurred before decides, at its latest place.
    Where less than k tokens lie between there and the end, they are taken to go on repeating.

    >>> guess(tf.constant([[5, 1, 2, 3, 9, 1, 2, -1]]), tf.constant([7]), 3, 2).numpy().tolist()
    [[3, 9, 1]]

    Args:
      text: int32 [rows, columns], NO_TOKEN where there is none.
      end: int32 [rows], the column after each row's newest token.
      k: static, how many tokens to guess.
      longest: static, at least 1.

    Returns:
      int32 [rows, k], NO_TOKEN in a row without a match.
    """
    columns = tf.range(tf.shape(text)[1])
    # place[r]: the column after the matched n-gram; longer n-grams outrank later places.
    matches = columns < end[:, None]
    place, best = tf.zeros_like(end), tf.zeros_like(end)
    for size in range(1, longest + 1):
        newest = tf.gather(text, tf.maximum(end - size, 0), axis=1, batch_dims=1)[:, None]
        shifted = tf.pad(text, [[0, 0], [size, 0]], constant_values=NO_TOKEN)[:, : tf.shape(text)[1]]
        # Column c matches if the tokens before it are the newest ones.
        matches &= (shifted == newest) & (shifted >= 0)
        latest = tf.reduce_max(tf.where(matches, columns, -1), axis=1)
        place, best = tf.where(latest >= 0, latest, place), tf.where(latest >= 0, size, best)
    period = tf.maximum(end - place, 1)
    source = place[:, None] + tf.range(k) % period[:, None]
    found = tf.gather(text, tf.minimum(source, tf.shape(text)[1] - 1), axis=1, batch_dims=1)
    return tf.where(best[:, None] > 0, found, NO_TOKEN)


def _result(state: Lookup, options: GenerationOptions) -> Generated:
    """[rows, ...] -> [batch, 1, ...]"""
    sequences = state.text[:, tf.shape(state.text)[1] - options.max_new_tokens :]
    sequences = tf.ensure_shape(sequences, [None, options.max_new_tokens])
    return Generated(
        sequences=tf.where(sequences >= 0, sequences, options.pad_token_id)[:, None],
        num_tokens=state.count[:, None],
        finish_reason=finish_reason(state.stopped)[:, None],
    )
