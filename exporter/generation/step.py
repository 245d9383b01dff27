"""What a decoding loop needs from a model: prefill, extend, and a cache it can carry.

Axis names: batch (prompts), rows (batch, or batch * beams after ``expand``), length (prompt bucket),
k (tokens fed at once), vocab.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, Protocol

import tensorflow as tf


class Prompt(NamedTuple):
    """One batch of prompts in a bucket.

    Attributes:
      tokens: int32 [batch, length], LEFT-padded: row r's tokens are its last ``lengths[r]`` columns.
        What stands in the padding columns never matters. For encoder-decoder models: the decoder prompt
        (start token, forced language code).
      lengths: int32 [batch], 1 <= lengths <= length. A pad row has length 1.
      encoder_tokens: int32 [batch, encoder_length], RIGHT-padded; None for decoder-only models.
      encoder_lengths: int32 [batch]; None for decoder-only models.
    """

    tokens: tf.Tensor
    lengths: tf.Tensor
    encoder_tokens: tf.Tensor | None = None
    encoder_lengths: tf.Tensor | None = None


class Cache(Protocol):
    """Keys and values of what the model has read. Immutable: every method returns a new cache.

    Two kinds of tensors live in it: invariant ones (the prompt's keys and values, once per prompt, shared
    by the prompt's rows) that a loop captures, and ``state``, which changes from step to step and which
    the loop carries as loop variables.
    """

    @property
    def state(self) -> Any:
        """A nest of tensors of fixed shape: what ``extend`` changes."""

    def with_state(self, state: Any) -> Cache:
        """The same cache with another state, as the loop body receives it."""

    def expand(self, n: int) -> Cache:
        """Rows [batch] -> [batch * n]; row ``r * n + i`` is the i-th row of prompt r."""

    def reorder(self, indices: tf.Tensor) -> Cache:
        """Row i takes over row ``indices[i]`` (int32 [rows]); both belong to the same prompt."""

    def per_row(self, step: int) -> Cache:
        """For a loop that appends up to ``step`` tokens at once, or takes some back: each row counts its own.

        Called on a freshly prefilled (and expanded) cache, before the loop; the capacity grows by ``step``,
        for the last guess may overshoot.
        """

    def truncate(self, count: tf.Tensor) -> Cache:
        """Drops each row's newest ``count`` (int32 [rows]) generated tokens: the rollback of a guess.

        Only after ``per_row``.
        """


class StepModel(Protocol):
    """A model seen by a decoding loop."""

    @property
    def vocab_size(self) -> int:
        """Width of the logits."""

    def prefill(
        self, prompt: Prompt, *, max_new_tokens: int, logits: Literal["last", "all"] = "last"
    ) -> tuple[tf.Tensor, Cache]:
        """Reads the prompts.

        Args:
          prompt: the batch.
          max_new_tokens: how many tokens ``extend`` may append to a row in all (the cache's capacity).
          logits: "last" computes the output head for the last position only.

        Returns:
          float32 logits, [batch, vocab] for "last", [batch, length, vocab] for "all" (left-padded as the
          tokens are), and the cache.
        """

    def extend(self, tokens: tf.Tensor, cache: Cache) -> tuple[tf.Tensor, Cache]:
        """Appends int32 [rows, k] tokens (k static); returns float32 logits [rows, k, vocab], cache."""


class PromptModel(StepModel, Protocol):
    """A step model that says of a prompt's own tokens, too, how likely they are."""

    def states_before(self, prompt: Prompt) -> tf.Tensor:
        """[batch, length, hidden]: what ``logits_of`` predicts each column's token from.

        Without a baked prefix nothing comes before a row's first token: what stands there means nothing, nor
        does what stands in the padding.
        """

    def logits_of(self, states: tf.Tensor) -> tf.Tensor:
        """[rows, k, hidden] -> float32 [rows, k, vocab]."""
