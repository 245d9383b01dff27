"""The key/value cache.

Layout. Per layer there are two segments of keys and of values:

    prompt     [batch * kv_heads, kept, head_dim]      invariant, left-padded as the prompt is; a windowed
                                                       layer keeps the bucket's last ``window`` columns
    generated  [rows * kv_heads, capacity, head_dim]   part of ``state``; slot t holds generated token t, or
                                                       token t modulo the capacity in a windowed layer's ring

An encoder's keys and values (``Memory``) are a third, invariant segment of every layer.

They have three axes, not four, because XLA:CPU makes batched products of three: with four it would reshape
the updated segment for the product and, to fuse that, update a second copy of it.

``rows = batch * copies``, a prompt's rows adjacent. Normally every row has generated the same number of
tokens (``count`` is a scalar), and a step writes one slice at one place for all rows. After ``per_row`` each
row counts for itself (``count`` is [rows]), which ``truncate`` needs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import tensorflow as tf

from exporter.model.attention import Segment
from exporter.model.bias import memory_bias
from exporter.model.xla_ops import update_columns, update_slots


class CacheState(NamedTuple):
    """What a loop carries: tokens generated so far (int32 [] or [rows]), and the generated segments."""

    count: tf.Tensor
    keys: tuple[tf.Tensor, ...]
    values: tuple[tf.Tensor, ...]


class LayerPrompt(NamedTuple):
    """One layer's prompt segment, [batch * kv_heads, kept, head_dim] each."""

    keys: tf.Tensor
    values: tf.Tensor


class Memory(NamedTuple):
    """What the encoder has read: keys and values of every decoder layer's cross-attention.

    Attributes:
      layers: [batch * kv_heads, length, head_dim] each, right-padded as the encoder's input is.
      lengths: int32 [batch], tokens of each encoder input.
    """

    layers: tuple[LayerPrompt, ...]
    lengths: tf.Tensor

    def segments(self, copies: int) -> list[Segment]:
        """What each layer attends over when every prompt has ``copies`` rows."""
        bias = memory_bias(tf.repeat(self.lengths, copies), tf.shape(self.layers[0].keys)[1])
        return [Segment(keys, values, bias) for keys, values in self.layers]


@dataclass(frozen=True)
class KVCache:
    """An immutable cache; see the module's docstring for the layout.

    Attributes:
      prompts: one prompt segment a layer.
      windows: each layer's sliding window, None for a layer that sees everything.
      lengths: int32 [batch], tokens of each prompt.
      prompt_length: int32 [], the bucket's length.
      capacity: how many tokens may be generated.
      copies: rows per prompt.
      step: the largest number of tokens that one ``extend`` may append in a windowed layer's ring.
      per_row_counts: whether ``state.count`` is per row.
      memory: an encoder's keys and values, None in decoder-only models.
    """

    prompts: tuple[LayerPrompt, ...]
    windows: tuple[int | None, ...]
    lengths: tf.Tensor
    prompt_length: tf.Tensor
    capacity: int
    state: CacheState
    copies: int = 1
    step: int = 1
    per_row_counts: bool = False
    memory: Memory | None = None

    @classmethod
    def of_prompt(
        cls,
        prompts: tuple[LayerPrompt, ...],
        windows: tuple[int | None, ...],
        lengths: tf.Tensor,
        prompt_length: tf.Tensor,
        capacity: int,
        memory: Memory | None = None,
    ) -> KVCache:
        """A cache in which nothing is generated yet; ``prompts`` hold every column of the bucket."""
        kept = tuple(
            prompt if window is None else LayerPrompt(*(part[:, -window:] for part in prompt))
            for prompt, window in zip(prompts, windows, strict=True)
        )
        empty = CacheState(tf.zeros([], tf.int32), (), ())
        return cls(kept, windows, lengths, prompt_length, capacity, empty, memory=memory)._allocated()

    def with_state(self, state: CacheState) -> KVCache:
        """The same prompts with another state."""
        return replace(self, state=state)

    def per_row(self, step: int) -> KVCache:
        """The same, freshly prefilled cache for rows that advance differently.

        Each row counts its own tokens, so that ``truncate`` may take back some of the up to ``step`` tokens
        of an ``extend``; the capacity grows by ``step``, as the last guess may overshoot. Call it before the
        loop.
        """
        rows = tf.shape(self.lengths)[0] * self.copies
        state = CacheState(tf.zeros([rows], tf.int32), (), ())
        grown = replace(
            self, state=state, capacity=self.capacity + step, step=max(step, self.step), per_row_counts=True
        )
        return grown._allocated()

    def expand(self, n: int) -> KVCache:
        """Rows [batch] -> [batch * n], a prompt's rows adjacent; the prompts' tensors are shared."""
        count = tf.repeat(self.state.count, n, axis=0) if self.per_row_counts else self.state.count
        state = CacheState(
            count,
            tuple(self._by_row(part, partial(tf.repeat, repeats=n, axis=0)) for part in self.state.keys),
            tuple(self._by_row(part, partial(tf.repeat, repeats=n, axis=0)) for part in self.state.values),
        )
        return replace(self, state=state, copies=self.copies * n)

    def reorder(self, indices: tf.Tensor) -> KVCache:
        """Row i takes over row ``indices[i]`` of the same prompt: only generated segments move."""
        count = tf.gather(self.state.count, indices) if self.per_row_counts else self.state.count
        state = CacheState(
            count,
            tuple(self._by_row(part, partial(tf.gather, indices=indices)) for part in self.state.keys),
            tuple(self._by_row(part, partial(tf.gather, indices=indices)) for part in self.state.values),
        )
        return replace(self, state=state)

    def truncate(self, count: tf.Tensor) -> KVCache:
        """Forgets each row's newest ``count`` tokens (int32 [rows]).

        Raises:
          ValueError: the cache was not prepared by ``per_row``.
        """
        if not self.per_row_counts:
            raise ValueError("truncate needs a cache prepared by per_row(step) before the loop")
        return replace(self, state=self.state._replace(count=self.state.count - count))

    def prompt_lengths(self) -> tf.Tensor:
        """int32 [rows]: tokens of each row's prompt."""
        return tf.repeat(self.lengths, self.copies) if self.copies > 1 else self.lengths

    def row_lengths(self) -> tf.Tensor:
        """int32 [rows]: tokens that each row has read, prompt and generated."""
        return self.prompt_lengths() + self.state.count

    def ring(self, layer: int) -> int:
        """Slots of a layer's generated segment.

        A ring of window + step slots: an ``extend`` overwrites ``step`` of them before it attends, or before
        some of them are taken back, and must leave the ``window`` newest tokens alone.
        """
        window = self.windows[layer]
        return self.capacity if window is None else min(self.capacity, window + self.step)

    def wraps(self, layer: int) -> bool:
        """Whether a layer's generated segment is a ring that is written more than once."""
        return self.ring(layer) < self.capacity

    def check_step(self, k: int) -> None:
        """Raises ValueError where an ``extend`` by k tokens would overwrite what it must still see."""
        if k > self.step and any(self.wraps(layer) for layer in range(len(self.windows))):
            raise ValueError(
                f"extend by {k} tokens needs per_row({k}): a windowed layer's ring is made for {self.step}"
            )

    def slot_tokens(self, layer: int, k: int) -> tf.Tensor:
        """int32 [1 or rows, capacity]: which generated token each slot holds once k more are written.

        Slots not yet written name tokens that are negative or still to come.
        """
        ring = self.ring(layer)
        slots = tf.range(ring)[tf.newaxis]
        if ring == self.capacity:
            return slots
        last = tf.reshape(self.state.count, [-1, 1]) + (k - 1)
        return last - tf.math.floormod(last - slots, ring)

    def _by_row(self, part: tf.Tensor, change: Callable[[tf.Tensor], tf.Tensor]) -> tf.Tensor:
        """Applies a change of rows to a generated segment: its first axis is split into rows and heads."""
        rows, (_, ring, head_dim) = tf.shape(self.lengths)[0] * self.copies, part.shape
        by_row = tf.reshape(part, [rows, -1, ring, head_dim])
        return tf.reshape(change(by_row), [-1, ring, head_dim])

    def _allocated(self) -> KVCache:
        """With empty generated segments for the present rows and capacity."""

        def empty(layer: int, like: tf.Tensor) -> tf.Tensor:
            return tf.zeros([tf.shape(like)[0] * self.copies, self.ring(layer), like.shape[2]], like.dtype)

        keys = tuple(empty(layer, prompt.keys) for layer, prompt in enumerate(self.prompts))
        values = tuple(empty(layer, prompt.values) for layer, prompt in enumerate(self.prompts))
        return replace(self, state=self.state._replace(keys=keys, values=values))


def write(
    buffers: tuple[tf.Tensor, tf.Tensor],
    updates: tuple[tf.Tensor, tf.Tensor],
    count: tf.Tensor,
    *,
    wraps: bool,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Writes the tokens ``count ... count + k - 1`` of every row to their slots.

    One slice for all rows where they advance together; a select over the segment where each row has its own
    place, or where several tokens may run over the end of a ring.
    """
    ring, k = buffers[0].shape[1], updates[0].shape[1]
    if count.shape.rank == 0 and (not wraps or k == 1):
        start = count % ring if wraps else count
        key, value = (update_columns(*pair, start) for pair in zip(buffers, updates, strict=True))
        return key, value
    slots = (tf.reshape(count, [-1, 1]) + tf.range(k)) % ring
    if count.shape.rank == 1:
        # [rows, k] -> [rows * kv_heads, k]
        slots = tf.repeat(slots, tf.shape(buffers[0])[0] // tf.shape(slots)[0], axis=0)
    key, value = (update_slots(*pair, slots) for pair in zip(buffers, updates, strict=True))
    return key, value
