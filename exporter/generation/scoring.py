"""Questions that need no loop of choices: how likely a continuation is, and what the next token may be."""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from exporter.generation.choice import best_token
from exporter.generation.step import Prompt, StepModel
from exporter.generation.topk import largest

# Continuation tokens read at once: their logits [batch, _CHUNK, vocab] are held together.
_CHUNK = 16


class Scored(NamedTuple):
    """Attributes:
    score: float32 [batch], the log-probability of the continuation after the prompt.
    logprobs: float32 [batch, width], of each of its tokens; 0 after its end.
    greedy: bool [batch], whether greedy search would have written the same.
    """

    score: tf.Tensor
    logprobs: tf.Tensor
    greedy: tf.Tensor


class NextTokens(NamedTuple):
    """Attributes:
    tokens: int32 [batch, n], the most probable next tokens, best first.
    probabilities: float32 [batch, n].
    """

    tokens: tf.Tensor
    probabilities: tf.Tensor


def score(model: StepModel, prompt: Prompt, continuation: tf.Tensor, lengths: tf.Tensor) -> Scored:
    """Log-likelihood of a continuation of each prompt. Call it inside ``tf.function(jit_compile=True)``.

    The same numbers that ``generate`` returns as ``score`` and ``logprobs`` for what it wrote.

    Args:
      model: the step model.
      prompt: the batch of prompts.
      continuation: int32 [batch, width], RIGHT-padded, width static and at least 1.
      lengths: int32 [batch], 0 <= lengths <= width; 0 scores 0.
    """
    width = continuation.shape[1]
    chunks = -(-(width - 1) // _CHUNK)
    logits, cache = model.prefill(prompt, max_new_tokens=max(1, chunks * _CHUNK))
    cache = cache.per_row(_CHUNK)
    # What comes after column i is predicted by reading column i. [batch, chunks * _CHUNK + 1]
    padded = tf.pad(continuation, [[0, 0], [0, chunks * _CHUNK + 1 - width]])
    first, agrees = _look_up(logits[:, None], padded[:, :1])

    def columns(start: tf.Tensor) -> tf.Tensor:
        size = tf.stack([tf.shape(padded)[0], _CHUNK])
        return tf.ensure_shape(tf.slice(padded, tf.stack([0, start]), size), [None, _CHUNK])

    def body(
        chunk: tf.Tensor, state: Any, logprobs: tf.Tensor, greedy: tf.Tensor
    ) -> tuple[tf.Tensor, Any, tf.Tensor, tf.Tensor]:
        start = chunk * _CHUNK
        step_logits, following = model.extend(columns(start), cache.with_state(state))
        found = _look_up(step_logits, columns(start + 1))
        here = tf.range(chunks * _CHUNK) // _CHUNK == chunk  # [chunks * _CHUNK]
        logprobs, greedy = (
            tf.where(here, tf.tile(new, [1, chunks]), old)
            for new, old in zip(found, (logprobs, greedy), strict=True)
        )
        return chunk + 1, following.state, logprobs, greedy

    rest = tf.zeros_like(padded[:, 1:], tf.float32)
    if chunks:
        _, _, rest, agree_rest = tf.while_loop(
            lambda chunk, *_: chunk < chunks,
            body,
            (0, cache.state, rest, rest > 0),
            maximum_iterations=chunks,
        )
    else:
        agree_rest = rest > 0
    counts = tf.range(width) < lengths[:, None]  # [batch, width]
    logprobs = tf.where(counts, tf.concat([first, rest], axis=1)[:, :width], 0.0)
    greedy = tf.reduce_all(tf.concat([agrees, agree_rest], axis=1)[:, :width] | ~counts, axis=1)
    return Scored(tf.reduce_sum(logprobs, axis=1), logprobs, greedy)


def _look_up(logits: tf.Tensor, tokens: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Log-probabilities of tokens [batch, k] under logits [batch, k, vocab]; whether they are the best."""
    chosen = tf.gather(logits, tokens, axis=2, batch_dims=2)
    k, vocab = logits.shape[1:]
    best = tf.reshape(best_token(tf.reshape(logits, [-1, vocab])), [-1, k])
    return chosen - tf.reduce_logsumexp(logits, axis=-1), best == tokens


def next_token(model: StepModel, prompt: Prompt, n: int) -> NextTokens:
    """The n most probable next tokens of each prompt; ties in order of their ids."""
    logits, _ = model.prefill(prompt, max_new_tokens=1)
    values, tokens = largest(tf.ensure_shape(logits, [None, model.vocab_size]), n)
    return NextTokens(tokens, tf.exp(values - tf.reduce_logsumexp(logits, axis=-1, keepdims=True)))
