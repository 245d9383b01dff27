"""Questions that need no loop of choices: how likely a continuation is, and what the next token may be."""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from exporter.generation.choice import best_token
from exporter.generation.step import Prompt, PromptModel, StepModel
from exporter.generation.topk import largest

# Tokens whose logits [batch, _CHUNK, vocab] are held together.
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


class PromptLogprobs(NamedTuple):
    """Attributes:
    logprobs: float32 [batch, width], of each token given those before; 0 after the prompt's end, and of a
      first token that none comes before.
    top_tokens: int32 [batch, width, top], the most probable tokens there, best first; 0 likewise. None where
      not asked for.
    top_logprobs: float32 [batch, width, top], of these.
    """

    logprobs: tf.Tensor
    top_tokens: tf.Tensor | None = None
    top_logprobs: tf.Tensor | None = None


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


def prompt_logprobs(
    model: PromptModel, prompt: Prompt, *, width: int, top: int = 0, baked: int = 0
) -> PromptLogprobs:
    """Log-probabilities of the prompts' own tokens. Call it inside ``tf.function(jit_compile=True)``.

    The prompt is read at once; logits are made of some columns at a time, as a large vocabulary's of all of
    them would take more memory than the model.

    Args:
      model: the step model.
      prompt: the batch of prompts, of at most ``baked + width`` tokens.
      width: static; of the answer, which is RIGHT-padded.
      top: static; how many of the most probable tokens.
      baked: how many tokens of a prefix that the model has baked every prompt begins with: not its own.
    """
    lengths, tokens = prompt.lengths - baked, prompt.tokens[:, baked:]
    length = tf.shape(tokens)[1]
    of_top = [tf.TensorSpec([None, _CHUNK, top], dtype) for dtype in (tf.int32, tf.float32)] if top else []
    found = tf.map_fn(
        lambda chunk: _predicted(model.logits_of(chunk[0]), chunk[1], top),
        (_in_chunks(model.states_before(prompt)), _in_chunks(tokens)),
        fn_output_signature=(tf.TensorSpec([None, _CHUNK], tf.float32), *of_top),
    )
    column = tf.range(width)
    counts = (column >= (0 if baked else 1)) & (column < lengths[:, tf.newaxis])  # [batch, width]
    place = tf.clip_by_value(column + length - lengths[:, tf.newaxis], 0, length - 1)

    def answer(chunks: tf.Tensor) -> tf.Tensor:
        """[chunks, batch, _CHUNK, ...] left-padded -> [batch, width, ...] right-padded."""
        order = [1, 0, *range(2, len(chunks.shape))]
        batch, rest = tf.shape(chunks)[1], chunks.shape[3:]
        columns = tf.reshape(tf.transpose(chunks, order), [batch, -1, *rest])
        counted = tf.reshape(counts, [batch, width, *[1] * len(rest)])
        moved = tf.gather(columns, place, axis=1, batch_dims=1)
        return tf.where(counted, moved, tf.zeros_like(moved))

    return PromptLogprobs(*map(answer, found))


def _in_chunks(values: tf.Tensor) -> tf.Tensor:
    """[batch, length, ...] -> [chunks, batch, _CHUNK, ...], filled up at the end."""
    batch, length = tf.unstack(tf.shape(values)[:2])
    rest = values.shape[2:]
    padded = tf.pad(values, [[0, 0], [0, -length % _CHUNK], *[[0, 0]] * len(rest)])
    apart = tf.reshape(padded, [batch, -(-length // _CHUNK), _CHUNK, *rest])
    return tf.transpose(apart, [1, 0, *range(2, len(apart.shape))])


def _predicted(logits: tf.Tensor, tokens: tf.Tensor, top: int) -> tuple[tf.Tensor, ...]:
    """The fields of ``PromptLogprobs`` of tokens [batch, k] under logits [batch, k, vocab]."""
    k, vocab = logits.shape[1:]
    total = tf.reduce_logsumexp(logits, axis=-1)
    chosen = tf.gather(logits, tokens, axis=2, batch_dims=2) - total
    if not top:
        return (chosen,)
    values, best = (tf.reshape(part, [-1, k, top]) for part in largest(tf.reshape(logits, [-1, vocab]), top))
    return chosen, best, values - total[:, :, tf.newaxis]
