"""A byte trie as arrays (double-array), walked from many places at once.

Child of node n by byte b is the slot ``base[n] + b``, if ``check`` there says n. Slot 0 is the root.
Source: J. Aoe, "An efficient digital search algorithm by using a double-array structure" (1989).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from exporter.tokenizer.tables import array, on_cpu, read


class Matches(NamedTuple):
    """Entries found in a byte stream; int32[matches] each."""

    start: tf.Tensor
    stop: tf.Tensor
    value: tf.Tensor


class _Walk(NamedTuple):
    depth: tf.Tensor  # int32, bytes read so far
    node: tf.Tensor  # int32[alive]
    start: tf.Tensor  # int32[alive], where the walk began
    found: tf.Tensor  # int32[3, matches]


class Trie(tf.Module):  # type: ignore[misc]
    """bytes -> value (0 or more), for all entries that begin at given places of a stream."""

    def __init__(self, entries: Mapping[bytes, int]) -> None:
        super().__init__(name="trie")
        self._arrays = _DoubleArray(entries)
        self._base = array(self._arrays.base)
        self._check = array(self._arrays.check)
        self._value = array(self._arrays.value)

    def node(self, prefix: bytes) -> int:
        """The node that ``prefix`` leads to; -1 if no entry begins with it."""
        return self._arrays.node(prefix)

    def matches(self, stream: tf.Tensor, starts: tf.Tensor, nodes: tf.Tensor) -> Matches:
        """All entries that are found from ``starts`` on, shorter ones first.

        Args:
          stream: int32[bytes]; it must end with a byte that no entry has.
          starts: int32[places].
          nodes: int32[places], where each walk begins: 0, or ``node(prefix)`` for what may follow prefix.
        """
        row = tf.TensorShape([None])
        tables = tuple(read(table) for table in (self._base, self._check, self._value))
        walk = tf.while_loop(
            lambda depth, node, start, found: tf.size(node) > 0,
            on_cpu(lambda *walk: self._step(stream, tables, _Walk(*walk))),
            _Walk(tf.constant(0), nodes, starts, tf.zeros([3, 0], tf.int32)),
            shape_invariants=_Walk(tf.TensorShape([]), row, row, tf.TensorShape([3, None])),
        )
        return Matches(*tf.unstack(walk.found, 3))

    @staticmethod
    def _step(stream: tf.Tensor, tables: tuple[tf.Tensor, ...], walk: _Walk) -> _Walk:
        base, check, values = tables
        slot = tf.gather(base, walk.node) + tf.gather(stream, walk.start + walk.depth)
        alive = tf.where(tf.equal(tf.gather(check, slot), walk.node))[:, 0]
        node, start, depth = tf.gather(slot, alive), tf.gather(walk.start, alive), walk.depth + 1
        value = tf.gather(values, node)
        found = tf.gather(tf.stack([start, start + depth, value]), tf.where(value >= 0)[:, 0], axis=1)
        return _Walk(depth, node, start, tf.concat([walk.found, found], 1))


class _DoubleArray:
    """Packs a trie's nodes: those with many children first, single children into whatever is left."""

    def __init__(self, entries: Mapping[bytes, int]) -> None:
        children: list[dict[int, int]] = [{}]
        values = [-1]
        for entry, value in entries.items():
            node = 0
            for byte in entry:
                if byte not in children[node]:
                    children[node][byte] = len(children)
                    children.append({})
                    values.append(-1)
                node = children[node][byte]
            values[node] = value
        self._children = children
        self._slots = self._pack(children)
        size = max(self._slots) + 513
        self.base, self.check, self.value = (np.full(size, fill, np.int32) for fill in (0, -1, -1))
        for node, slot in enumerate(self._slots):
            self.value[slot] = values[node]
            for byte, child in children[node].items():
                self.base[slot] = self._slots[child] - byte
                self.check[self._slots[child]] = slot

    def node(self, prefix: bytes) -> int:
        node = 0
        for byte in prefix:
            if byte not in self._children[node]:
                return -1
            node = self._children[node][byte]
        return self._slots[node]

    @staticmethod
    def _pack(children: list[dict[int, int]]) -> list[int]:
        """A slot for each node."""
        slots = [0] * len(children)
        free = _FreeSlots()
        parents = sorted((n for n, c in enumerate(children) if c), key=lambda n: -len(children[n]))
        for node in parents:
            # At least 256, so that no base is negative.
            offsets = sorted(children[node])
            first = free.find([byte - offsets[0] for byte in offsets])
            for byte in offsets:
                slots[children[node][byte]] = first + byte - offsets[0]
        return slots


class _FreeSlots:
    """The slots from 256 on that nobody has taken yet."""

    def __init__(self) -> None:
        self._taken = bytearray(1 << 16)
        self._low = 256

    def find(self, offsets: list[int]) -> int:
        """Takes the slots s + offset for the lowest s that is free for all of them; offsets[0] is 0."""
        place = self._taken.find(0, self._low)
        tries = 0
        while True:
            if place + 512 > len(self._taken) or place < 0:
                self._taken.extend(bytes(len(self._taken)))
                place = max(place, self._low)
            if not any(self._taken[place + offset] for offset in offsets):
                break
            tries += 1
            place = self._taken.find(0, place + 1)
        if tries > 64 and len(offsets) > 1:
            self._low = place  # Gaps that wide nodes could not use are found again by nobody: a few percent.
        for offset in offsets:
            self._taken[place + offset] = 1
        return place
