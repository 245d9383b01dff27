"""What a generation returns."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import tensorflow as tf


class FinishReason(IntEnum):
    """Why a row ended; the names in lower case are what the signatures answer."""

    STOP = 0  # an end-of-sequence token or a stop string
    LENGTH = 1  # its max_new_tokens
    ERROR = 2  # never set by a loop: the signature layer marks bad rows with it
    NONE = 3  # it has not ended: the next piece goes on; answered as ""


def finish_reason(stopped: tf.Tensor) -> tf.Tensor:
    """int32, shaped like ``stopped`` (bool): STOP where a row ended by itself, else LENGTH."""
    return tf.where(stopped, int(FinishReason.STOP), int(FinishReason.LENGTH))


class Generated(NamedTuple):
    """The new tokens of every prompt; n is num_return_sequences, T is max_new_tokens.

    Attributes:
      sequences: int32 [batch, n, T], the end-of-sequence token included, pad_token_id after the end.
      num_tokens: int32 [batch, n], how many of them were generated; 0 for a row finished from the start.
      finish_reason: int32 [batch, n], codes of FinishReason.
      score: float32 [batch, n]: the log-probability that the model gives to the sequence (the sum of
        ``logprobs``), with beams the score of the beam as transformers computes it. None if not asked for.
      logprobs: float32 [batch, n, T], the model's own log-probability of each token, before processors and
        warpers; 0 after the end. None if not asked for.
      top_tokens: int32 [batch, n, T, k], the k most probable tokens of each step, best first; None if k is 0.
      top_logprobs: float32 [batch, n, T, k], their log-probabilities.
      stop_states: int32 [batch, 1, 2], states of the stop strings' automaton before and after a piece; None
        without pieces or stop strings.
    """

    sequences: tf.Tensor
    num_tokens: tf.Tensor
    finish_reason: tf.Tensor
    score: tf.Tensor | None = None
    logprobs: tf.Tensor | None = None
    top_tokens: tf.Tensor | None = None
    top_logprobs: tf.Tensor | None = None
    stop_states: tf.Tensor | None = None
