"""Layers one after the other: those whose weights are stacked (``exporter.stacks``) as one loop.

A loop's body is a pattern of layers, which takes its weights, and its parts of the cache, from one entry of
their stacks at every turn. The number of turns is known, so that a GPU need not ask the host.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias, TypeVar

import tensorflow as tf

from exporter.model.attention import Segment
from exporter.model.layers import Weights, scoped
from exporter.model.xla_ops import update_entry
from exporter.spec import LayerSpec
from exporter.stacks import Run, runs_of

T = TypeVar("T")

#: A place in the stacks: int32 [], or a number where it is known; None where nothing is stacked.
Entry: TypeAlias = "tf.Tensor | int | None"


@dataclass(frozen=True)
class Place:
    """A place in the pattern of a run: one layer, or one of every turn.

    Attributes:
      index: among all places of the stack of layers.
      layer: the first layer that it is.
      spec: of its layers.
      name: what the names of its weights begin with.
      period: layers of one turn.
    """

    index: int
    layer: int
    spec: LayerSpec
    name: str
    period: int = 1

    def layer_at(self, entry: Entry) -> tf.Tensor | int:
        """The layer in one entry of the stacks."""
        return self.layer if entry is None else self.layer + entry * self.period

    def weights(self, weights: Weights, entry: Entry) -> Weights:
        """The weights of the layer in one entry of the stacks."""
        return taken(scoped(weights, self.name), entry)


@dataclass(frozen=True)
class Turns:
    """A run: its pattern, and how often it comes."""

    places: tuple[Place, ...]
    count: int


def turns_of(layers: Sequence[LayerSpec], names: Iterable[str]) -> tuple[Turns, ...]:
    """The runs of a stack of layers, whose weights have these names."""
    return tuple(_turns(layers, runs_of(names, len(layers))))


def _turns(layers: Sequence[LayerSpec], runs: Iterable[Run]) -> Iterator[Turns]:
    index = 0
    for run in runs:
        firsts = range(run.first, run.first + run.period)
        places = [
            Place(index + offset, layer, layers[layer], name, run.period)
            for offset, (layer, name) in enumerate(zip(firsts, run.names(), strict=True))
        ]
        index += run.period
        yield Turns(tuple(places), run.count)


def taken(nest: T, entry: Entry, axis: int = 0) -> T:
    """Every tensor's entry of an axis; all of it where ``entry`` is None."""
    if entry is None:
        return nest
    return tf.nest.map_structure(lambda stack: tf.gather(stack, entry, axis=axis), nest)  # type: ignore[no-any-return]


def entry_of(segment: Segment, entry: Entry) -> Segment:
    """One layer's keys and values; the bias is that of all layers."""
    return Segment(taken(segment.keys, entry), taken(segment.values, entry), segment.bias)


def put(stack: T, value: T, entry: Entry, axis: int = 0) -> T:
    """``stack`` with ``value`` as one entry of an axis, by tensor; ``value`` without ``entry``."""
    if entry is None:
        return value
    return tf.nest.map_structure(partial(update_entry, index=entry, axis=axis), stack, value)  # type: ignore[no-any-return]


def run_turns(
    turns: Turns, step: Callable[[Place, Entry, Any], Any], state: Any, *, apart: bool = False
) -> Any:
    """``state`` after ``step(place, entry, state)`` of every layer of a run.

    Args:
      step: keeps dtypes and shapes; ``entry``: of the stacks, None where nothing is stacked.
      apart: the last turn stands behind the loop, and its ``entry`` is a number.
    """

    def turn(entry: Entry, state: Any) -> Any:
        for place in turns.places:
            state = step(place, entry, state)
        return state

    if turns.count == 1:
        return turn(None, state)
    looped = turns.count - apart
    if looped > 0:
        _, state = tf.while_loop(
            lambda at, _: at < looped,
            lambda at, state: (at + 1, tf.nest.map_structure(_shaped, turn(at, state), state)),
            (tf.zeros([], tf.int32), state),
        )
    return turn(looped, state) if apart else state


def _shaped(new: tf.Tensor, old: tf.Tensor) -> tf.Tensor:
    """``new`` with the static shape of ``old``, which a loop's variables keep."""
    new.set_shape(old.shape)
    return new
