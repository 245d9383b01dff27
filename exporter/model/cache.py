"""The key/value cache.

Layout. Per layer there are two segments of keys and of values:

    prompt     [batch * kv_heads, kept, head_dim]      invariant, left-padded as the prompt is; a windowed
                                                       layer keeps the bucket's last ``window`` columns
    generated  [rows * kv_heads, capacity, head_dim]   part of ``state``; slot t holds generated token t, or
                                                       token t modulo the capacity in a windowed layer's ring

A few rows of one prompt (its beams) share their generated segment too:

    generated  [batch * kv_heads, capacity * copies, head_dim]    slot ``t * copies + c`` holds what the
                                                                  prompt's c-th row wrote as token t

Each row sees the slots that ``owners[row, t]`` names, and ``reorder`` moves these numbers only: a beam search
never copies keys and values. All of a prompt's slots are read once for all its rows.

Layers that run as one loop (``exporter.model.runs``) have their segments stacked: one more axis, in front,
counts the layers, and what is said of "a layer" here is true of the whole stack.

A layer with a latent (``exporter.model.latent``) has one segment where others have two: its keys, of one
head, are the values too, and ``()`` stands in the place of the values, here and in the state.

An encoder's keys and values (``Memory``) are a third, invariant segment of every layer.

A model with a baked prefix has one more, for all prompts together, in front of every prompt:

    prefix     [kv_heads, kept, head_dim]              invariant; ``kept`` as above

Segments have three axes, not four, because XLA:CPU makes batched products of three: with four it would
reshape the updated segment for the product and, to fuse that, update a second copy of it.

A layer without attention has no segments: None among the prompts, () in the state. One that carries a state
(``exporter.model.state``) has that in ``states``, of every row by itself: it is copied where rows are
reordered, and a token cannot be taken back from it.

``rows = batch * copies``, a prompt's rows adjacent. Normally every row has generated the same number of
tokens (``count`` is a scalar), and a step writes one slice at one place for all rows. After ``per_row`` each
row counts for itself (``count`` is [rows]), which ``truncate`` needs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import tensorflow as tf

from exporter.model.attention import Segment
from exporter.model.bias import memory_bias
from exporter.model.state import State

# Up to so many rows of a prompt share their generated segments. Every row then looks at the slots of all and
# masks the others', which costs arithmetic in proportion, but no copy when rows are reordered.
SHARING_ROWS = 8


class CacheState(NamedTuple):
    """What a loop carries.

    Attributes:
      count: int32 [] or [rows], tokens generated so far.
      keys, values: the generated segments, one a layer; () of a layer without attention, and values of ()
        where a layer's keys are its values too.
      owners: int32 [rows, capacity], which of its prompt's rows wrote what a row has as token t; () where no
        segment is shared.
      states: what each layer carries, a ``State``; () of a layer without.
    """

    count: tf.Tensor
    keys: tuple[Any, ...]
    values: tuple[Any, ...]
    owners: Any = ()
    states: tuple[Any, ...] = ()


class LayerPrompt(NamedTuple):
    """One layer's prompt segment, [batch * kv_heads, kept, head_dim] each; values () where keys are both."""

    keys: tf.Tensor
    values: Any


class Baked(NamedTuple):
    """What every prompt begins with, read once at export.

    Attributes:
      length: tokens.
      layers: keys and values of each layer, [kv_heads, kept, head_dim]; None of a layer without attention.
      states: what each layer carries, [1, ...]; None of a layer without.
    """

    length: int = 0
    layers: tuple[LayerPrompt | None, ...] = ()
    states: tuple[State | None, ...] = ()

    def at(self, place: int) -> tuple[LayerPrompt | None, State | None]:
        """What one layer has of it."""
        return (self.layers[place], self.states[place]) if self.layers else (None, None)


NOTHING_BAKED = Baked()


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
        bias = memory_bias(tf.repeat(self.lengths, copies), tf.shape(self.layers[0].keys)[-2])
        return [Segment(keys, values, bias) for keys, values in self.layers]


@dataclass(frozen=True)
class KVCache:
    """An immutable cache; see the module's docstring for the layout.

    Attributes:
      prompts: one prompt segment a layer; None of a layer without attention.
      windows: each layer's sliding window, None for a layer that sees everything.
      lengths: int32 [batch], tokens of each prompt (behind the baked prefix).
      prompt_length: int32 [], the bucket's length.
      capacity: how many tokens may be generated.
      copies: rows per prompt.
      step: the largest number of tokens that one ``extend`` may append in a windowed layer's ring.
      per_row_counts: whether ``state.count`` is per row.
      shared: whether a prompt's rows share their generated segments.
      memory: an encoder's keys and values, None in decoder-only models.
      baked: the prefix in front of every prompt.
    """

    prompts: tuple[LayerPrompt | None, ...]
    windows: tuple[int | None, ...]
    lengths: tf.Tensor
    prompt_length: tf.Tensor
    capacity: int
    state: CacheState
    copies: int = 1
    step: int = 1
    per_row_counts: bool = False
    shared: bool = False
    memory: Memory | None = None
    baked: Baked = NOTHING_BAKED

    @classmethod
    def of_prompt(
        cls,
        prompts: tuple[LayerPrompt | None, ...],
        windows: tuple[int | None, ...],
        lengths: tf.Tensor,
        prompt_length: tf.Tensor,
        capacity: int,
        memory: Memory | None = None,
        baked: Baked = NOTHING_BAKED,
        states: tuple[Any, ...] = (),
    ) -> KVCache:
        """A cache in which nothing is generated yet; ``prompts`` hold every column of the bucket."""
        kept = tuple(
            prompt
            and tf.nest.map_structure(lambda part, w=window: part if w is None else part[..., -w:, :], prompt)
            for prompt, window in zip(prompts, windows, strict=True)
        )
        empty = CacheState(tf.zeros([], tf.int32), (), (), states=states)
        held = cls(kept, windows, lengths, prompt_length, capacity, empty, memory=memory, baked=baked)
        return held._allocated()

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
        state = CacheState(tf.zeros([rows], tf.int32), (), (), states=self.state.states)
        grown = replace(
            self,
            state=state,
            capacity=self.capacity + step,
            step=max(step, self.step),
            per_row_counts=True,
            shared=False,
        )
        return grown._allocated()

    def expand(self, n: int) -> KVCache:
        """Rows [batch] -> [batch * n], a prompt's rows adjacent; the prompts' tensors are shared.

        Raises:
          ValueError: the rows already share their generated segments.
        """
        if n == 1:
            return self
        if self.shared:
            raise ValueError("a cache whose rows share their segments is expanded once")
        if n <= SHARING_ROWS and self.copies == 1 and not self.per_row_counts:
            return self._expand_shared(n)
        count = tf.repeat(self.state.count, n, axis=0) if self.per_row_counts else self.state.count
        repeated = self._map_segments(self._by_row(partial(tf.repeat, repeats=n, axis=-4)))
        repeated = repeated._replace(
            count=count, states=self._map_states(partial(tf.repeat, repeats=n, axis=0))
        )
        return replace(self, state=repeated, copies=self.copies * n)

    def _expand_shared(self, n: int) -> KVCache:
        """What is generated so far becomes every row's own."""

        def side_by_side(part: tf.Tensor) -> tf.Tensor:
            *stack, _, ring, head_dim = part.shape
            return tf.reshape(tf.repeat(part, n, axis=-2), [*stack, -1, ring * n, head_dim])

        states = self._map_states(partial(tf.repeat, repeats=n, axis=0))
        state = self._map_segments(side_by_side)._replace(states=states)
        expanded = replace(self, state=state, copies=n, shared=True)
        owners = tf.tile(expanded._own(), [1, self.capacity])
        return expanded.with_state(state._replace(owners=owners))

    def reorder(self, indices: tf.Tensor) -> KVCache:
        """Row i takes over row ``indices[i]`` of the same prompt; what the prompt left in the cache stays."""
        states = self._map_states(partial(tf.gather, indices=indices))
        if self.shared:
            written = tf.range(self.capacity) < self.state.count
            owners = tf.where(written, tf.gather(self.state.owners, indices), self._own())
            return self.with_state(self.state._replace(owners=owners, states=states))
        count = tf.gather(self.state.count, indices) if self.per_row_counts else self.state.count
        moved = self._map_segments(self._by_row(partial(tf.gather, indices=indices, axis=-4)))
        return self.with_state(moved._replace(count=count, states=states))

    def truncate(self, count: tf.Tensor) -> KVCache:
        """Forgets each row's newest ``count`` tokens (int32 [rows]).

        Raises:
          ValueError: the cache was not prepared by ``per_row``, or a layer carries a state.
        """
        if not self.per_row_counts:
            raise ValueError("truncate needs a cache prepared by per_row(step) before the loop")
        if any(self.state.states):
            raise ValueError("truncate: no token can be taken back from a layer that carries a state")
        return replace(self, state=self.state._replace(count=self.state.count - count))

    def prompt_lengths(self) -> tf.Tensor:
        """int32 [rows]: tokens of each row's prompt, without the baked prefix."""
        return tf.repeat(self.lengths, self.copies) if self.copies > 1 else self.lengths

    def row_lengths(self) -> tf.Tensor:
        """int32 [rows]: tokens that each row has read: baked prefix, prompt and generated."""
        return self.baked.length + self.prompt_lengths() + self.state.count

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
        """int32 [1 or rows, slots]: which generated token each slot holds once k more are written.

        Slots not yet written name tokens that are negative or still to come.
        """
        tokens = self._ring_tokens(layer, k)
        return tf.repeat(tokens, self.copies, axis=1) if self.shared else tokens

    def _ring_tokens(self, layer: int, k: int) -> tf.Tensor:
        ring = self.ring(layer)
        slots = tf.range(ring)[tf.newaxis]
        if ring == self.capacity:
            return slots
        last = tf.reshape(self.state.count, [-1, 1]) + (k - 1)
        return last - tf.math.floormod(last - slots, ring)

    @property
    def sharing(self) -> int:
        """How many rows write to one generated segment."""
        return self.copies if self.shared else 1

    def owned(self, layer: int, k: int) -> tf.Tensor | None:
        """bool [rows, slots]: which slots of a shared segment are the row's; None where each has its own."""
        if not self.shared:
            return None
        owners = self.state.owners
        if self.wraps(layer):
            tokens = self._ring_tokens(layer, k)[0]
            owners = tf.gather(owners, tf.clip_by_value(tokens, 0, self.capacity - 1), axis=1)
        # [rows, ring, copies] -> [rows, ring * copies]
        return tf.reshape(
            owners[:, :, tf.newaxis] == tf.range(self.copies), [-1, self.ring(layer) * self.copies]
        )

    def _own(self) -> tf.Tensor:
        """int32 [rows, 1]: each row's place among its prompt's."""
        return (tf.range(tf.shape(self.lengths)[0] * self.copies) % self.copies)[:, tf.newaxis]

    def _map_segments(self, change: Callable[[tf.Tensor], tf.Tensor]) -> CacheState:
        """The state with every generated segment changed."""
        keys, values = tf.nest.map_structure(change, (self.state.keys, self.state.values))
        return self.state._replace(keys=keys, values=values)

    def _map_states(self, change: Callable[[tf.Tensor], tf.Tensor]) -> tuple[Any, ...]:
        """What every layer carries, changed."""
        return tf.nest.map_structure(change, self.state.states)  # type: ignore[no-any-return]

    def _by_row(self, change: Callable[[tf.Tensor], tf.Tensor]) -> Callable[[tf.Tensor], tf.Tensor]:
        """A change of rows as one of generated segments, whose first axis is split into rows and heads."""

        def changed(part: tf.Tensor) -> tf.Tensor:
            rows, (*stack, _, ring, head_dim) = tf.shape(self.lengths)[0] * self.copies, part.shape
            by_row = tf.reshape(part, [*stack, rows, -1, ring, head_dim])
            return tf.reshape(change(by_row), [*stack, -1, ring, head_dim])

        return changed

    def _allocated(self) -> KVCache:
        """With empty generated segments for the present rows and capacity."""

        def empty(layer: int, like: tf.Tensor) -> tf.Tensor:
            *stack, _, _, head_dim = like.shape
            rows = tf.shape(like)[-3] * self.copies
            return tf.zeros([*stack, rows, self.ring(layer), head_dim], like.dtype)

        def like(layer: int, part: Any) -> Any:
            return tf.nest.map_structure(partial(empty, layer), part)

        prompts = list(enumerate(self.prompts))
        keys = tuple(like(layer, prompt.keys) if prompt else () for layer, prompt in prompts)
        values = tuple(like(layer, prompt.values) if prompt else () for layer, prompt in prompts)
        return replace(self, state=self.state._replace(keys=keys, values=values))
