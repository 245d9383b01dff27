"""Per-token outputs that a loop collects on request: log-probabilities and the most probable alternatives."""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from exporter.generation.generation_options import GenerationOptions
from exporter.generation.topk import largest


class Record(NamedTuple):
    """Buffers over the leading dimensions of the sequences [..., T]; () where not asked for.

    Attributes:
      logprobs: float32 [..., T], the model's own log-probability of each token.
      top_tokens: int32 [..., T, k], the most probable tokens at each step, best first.
      top_logprobs: float32 [..., T, k].
    """

    logprobs: Any = ()
    top_tokens: Any = ()
    top_logprobs: Any = ()

    def cut(self, num_tokens: tf.Tensor) -> Record:
        """0 after the end of each sequence; num_tokens is int32 [...]."""

        def blank(buffer: Any) -> Any:
            if not isinstance(buffer, tf.Tensor):
                return ()
            after = tf.range(tf.shape(buffer)[len(num_tokens.shape)]) >= num_tokens[..., None]  # [..., T]
            trailing = len(buffer.shape) - len(after.shape)
            return tf.where(after[..., None] if trailing else after, tf.zeros_like(buffer), buffer)

        return Record(*map(blank, self))

    def outputs(self, options: GenerationOptions) -> dict[str, tf.Tensor]:
        """The fields of ``Generated`` that were asked for."""
        asked = self._asdict() if options.logprobs is not None else {}
        return {name: buffer for name, buffer in asked.items() if isinstance(buffer, tf.Tensor)}


def start_record(sequences: tf.Tensor, options: GenerationOptions, *, scores: bool = False) -> Record:
    """Empty buffers for int32 [..., T] sequences; ``scores`` needs the log-probabilities in any case."""
    zero = tf.zeros_like(sequences)
    k = options.logprobs or 0
    top = tf.repeat(zero[..., None], k, axis=-1)
    return Record(
        logprobs=tf.cast(zero, tf.float32) if scores or options.logprobs is not None else (),
        top_tokens=top if k else (),
        top_logprobs=tf.cast(top, tf.float32) if k else (),
    )


def record_step(
    record: Record, step: tf.Tensor, logits: tf.Tensor, origin: tf.Tensor, token: tf.Tensor
) -> Record:
    """Records a step's tokens.

    Args:
      record: the buffers, of the hypotheses [batch, m, T, ...] that continue with ``token``.
      step: int32 [].
      logits: float32 [batch, beams, vocab], the model's.
      origin: int32 [batch, m], the beam that each hypothesis continues.
      token: int32 [batch, m].
    """
    logprobs, top_tokens, top_logprobs = record
    if not isinstance(logprobs, tf.Tensor):
        return record
    beams, vocab = logits.shape[1:]
    total = tf.gather(tf.reduce_logsumexp(logits, axis=-1), origin, axis=1, batch_dims=1)  # [batch, m]
    flat = tf.reshape(logits, [-1, beams * vocab])
    chosen = tf.gather(flat, origin * vocab + token, axis=1, batch_dims=1)
    logprobs = put_column(logprobs, step, chosen - total)
    if isinstance(top_tokens, tf.Tensor):
        k = top_tokens.shape[-1]
        values, tokens = (
            tf.gather(tf.reshape(part, [-1, beams, k]), origin, axis=1, batch_dims=1)
            for part in largest(tf.reshape(logits, [-1, vocab]), k)
        )
        top_tokens = put_column(top_tokens, step, tokens, trailing=1)
        top_logprobs = put_column(top_logprobs, step, values - total[..., None], trailing=1)
    return Record(logprobs, top_tokens, top_logprobs)


def put_column(buffer: tf.Tensor, column: tf.Tensor, values: tf.Tensor, trailing: int = 0) -> tf.Tensor:
    """``buffer`` [..., T, *] with ``values`` [..., *] in one column; * are ``trailing`` dimensions.

    Rewrites the buffer, which is small: a step's tokens, never a cache.
    """
    axis = -1 - trailing
    here = tf.reshape(tf.range(tf.shape(buffer)[axis]) == column, [-1] + [1] * trailing)
    return tf.where(here, tf.expand_dims(values, axis), buffer)
