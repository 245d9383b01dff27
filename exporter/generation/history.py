"""What a row has read and written, in the two forms that processors need.

Both are carried by the loop only if some processor of the signature reads them; otherwise they are ``()``,
which a loop carries for nothing.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from exporter.generation.step import Prompt

# Stands in columns without a token. No token equals it, so padding never matches and is never counted.
NO_TOKEN = -1

# ``counts`` of a token of the prompt. Larger than any number of steps, so that the count of generated
# tokens is the remainder.
IN_PROMPT = 2**30


class History(NamedTuple):
    """A row's past.

    Attributes:
      tokens: int32 [rows, length + T]: the prompt, left-padded as it came, then the generated tokens;
        NO_TOKEN elsewhere. At step s the newest token is in column length + s - 1 of every row.
      counts: int32 [rows, vocab]: how often each token was generated, plus IN_PROMPT if it is in the prompt.
    """

    tokens: Any = ()
    counts: Any = ()


def prompt_tokens(prompt: Prompt) -> tf.Tensor:
    """int32 [batch, length]: the prompt's tokens with NO_TOKEN in the padding."""
    length = tf.shape(prompt.tokens)[1]
    is_token = tf.range(length)[None, :] >= length - prompt.lengths[:, None]
    return tf.where(is_token, prompt.tokens, NO_TOKEN)


def written_mask(prompt: Prompt, done: tf.Tensor) -> tf.Tensor:
    """bool [batch, length]: the newest ``done`` (int32 [batch]) columns, which are the answer's so far."""
    length = tf.shape(prompt.tokens)[1]
    return tf.range(length)[None, :] >= length - done[:, None]


def source_tokens(prompt: Prompt, done: tf.Tensor | None = None) -> tf.Tensor:
    """int32 [batch, *]: what ``encoder_*`` processors look at: the encoder's input, else the prompt.

    ``done``: how many of the tokens that were read are no prompt but the answer's.
    """
    if prompt.encoder_tokens is None or prompt.encoder_lengths is None:
        tokens = prompt_tokens(prompt)
        return tokens if done is None else tf.where(written_mask(prompt, done), NO_TOKEN, tokens)
    is_token = tf.sequence_mask(prompt.encoder_lengths, tf.shape(prompt.encoder_tokens)[1])
    return tf.where(is_token, prompt.encoder_tokens, NO_TOKEN)


def start_history(
    prompt: Prompt,
    max_new_tokens: int,
    vocab_size: int,
    *,
    tokens: bool,
    counts: bool,
    done: tf.Tensor | None = None,
) -> History:
    """The history before the first token, for the prompts' rows [batch].

    ``done``: int32 [batch], how many of the tokens that were read are the answer's; None: none is.
    """
    past = prompt_tokens(prompt)
    return History(
        tokens=tf.pad(past, [[0, 0], [0, max_new_tokens]], constant_values=NO_TOKEN) if tokens else (),
        counts=_start_counts(prompt, past, vocab_size, done) if counts else (),
    )


def _start_counts(prompt: Prompt, past: tf.Tensor, vocab_size: int, done: tf.Tensor | None) -> tf.Tensor:
    """int32 [batch, vocab]: see ``History.counts``."""
    if done is None:
        return IN_PROMPT * seen_mask(past, vocab_size, tf.int32)
    written = written_mask(prompt, done)
    counts = IN_PROMPT * seen_mask(tf.where(written, NO_TOKEN, past), vocab_size, tf.int32)
    # Tokens that are not the answer's add nothing, wherever they point.
    indices = row_indices(tf.clip_by_value(past, 0, vocab_size - 1))
    return tf.tensor_scatter_nd_add(counts, indices, tf.cast(written, tf.int32))


def seen_mask(tokens: tf.Tensor, vocab_size: int, dtype: tf.DType) -> tf.Tensor:
    """[rows, vocab]: 1 for every token that occurs in ``tokens`` int32 [rows, *], else 0."""
    rows = tf.shape(tokens)[0]
    # One spare column takes what is no token or has no logit.
    column = tf.where((tokens < 0) | (tokens >= vocab_size), vocab_size, tokens)
    ones = tf.ones_like(column, dtype)
    seen = tf.tensor_scatter_nd_max(tf.zeros([rows, vocab_size + 1], dtype), row_indices(column), ones)
    return seen[:, :vocab_size]


def row_indices(columns: tf.Tensor) -> tf.Tensor:
    """int32 [rows, k] column numbers -> [rows, k, 2] (row, column) indices for scatters and gathers."""
    rows = tf.range(tf.shape(columns)[0])[:, None] + tf.zeros_like(columns)
    return tf.stack([rows, columns], axis=-1)


def append(history: History, token: tf.Tensor, step: tf.Tensor, max_new_tokens: int) -> History:
    """The history with every row's new token (int32 [rows]) of this step."""
    tokens, counts = history
    if isinstance(tokens, tf.Tensor):
        width = tf.shape(tokens)[1]
        column = width - max_new_tokens + step
        tokens = tf.where(tf.range(width)[None, :] == column, token[:, None], tokens)
    if isinstance(counts, tf.Tensor):
        counts = tf.tensor_scatter_nd_add(counts, row_indices(token[:, None]), tf.ones_like(token)[:, None])
    return History(tokens, counts)


def reorder(history: History, indices: tf.Tensor) -> History:
    """Row i takes over row ``indices[i]``."""
    return History(*(tf.gather(part, indices) if isinstance(part, tf.Tensor) else () for part in history))


def expand(history: History, n: int) -> History:
    """[batch, *] -> [batch * n, *], a prompt's rows adjacent."""
    return History(*(tf.repeat(part, n, axis=0) if isinstance(part, tf.Tensor) else () for part in history))
