"""Deterministic automata over bytes, trimmed and minimal.

Minimised by partition refinement (Hopcroft, "An n log n algorithm for minimizing states in a finite
automaton", 1971).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from exporter.errors import OptionError

DEAD = -1

Edges = npt.NDArray[np.int32]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Machine:
    """State 0 is the start; from every state an accepting one can be reached, but for a start without any.

    Attributes:
      edges: int32 [states, 256], the state after each byte; DEAD where there is none.
      accepting: bool [states].
    """

    edges: Edges
    accepting: Flags

    @property
    def states(self) -> int:
        return len(self.edges)

    @property
    def empty(self) -> bool:
        """Whether nothing is accepted."""
        return not self.accepting.any()

    def accepts(self, text: bytes) -> bool:
        state = 0
        for byte in text:
            state = int(self.edges[state, byte])
            if state == DEAD:
                return False
        return bool(self.accepting[state])


def too_large(limit: int) -> OptionError:
    return OptionError(f"the guide needs more than {limit} states; allowed: {limit}")


def minimal(edges: Edges, accepting: Flags) -> Machine:
    """The smallest automaton of the same language."""
    edges, accepting = trimmed(edges, accepting)
    block = _blocks(edges, accepting)
    # Blocks in the order of their first states: the start's is 0.
    _, first, number = np.unique(block, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    chosen = first[order]
    renamed = np.append(rank[number], DEAD).astype(np.int32)  # DEAD is the last, by its index of -1
    return Machine(renamed[edges[chosen]], accepting[chosen])


def trimmed(edges: Edges, accepting: Flags) -> tuple[Edges, Flags]:
    """Without states that cannot be reached or from which nothing is accepted; the start stays.

    Args:
      edges: int32 [states, letters].
      accepting: bool [states].
    """
    states = len(edges)
    source, target = _arrows(edges)
    useful = _closed(target, source, np.flatnonzero(accepting).tolist(), states)
    useful[0] = True
    kept = useful[target]
    reached = _closed(source[kept], target[kept], [0], states)
    renamed = np.append(np.where(reached & useful, np.cumsum(reached) - 1, DEAD), DEAD).astype(np.int32)
    return renamed[edges[reached]], accepting[reached]


def _arrows(edges: Edges) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The pairs of states that some letter leads from and to."""
    states, block = len(edges), max(1, (1 << 22) // edges.shape[1])
    found = []
    for begin in range(0, states, block):
        rows = edges[begin : begin + block].astype(np.int64)
        arrows = np.arange(begin, begin + len(rows))[:, None] * states + rows
        found.append(np.unique(arrows[rows != DEAD]))
    return np.divmod(np.concatenate(found), states)


def _closed(
    source: npt.NDArray[np.int64], target: npt.NDArray[np.int64], todo: list[int], states: int
) -> Flags:
    """bool [states]: those that arrows lead to from ``todo``, these included."""
    following: list[list[int]] = [[] for _ in range(states)]
    for begin, end in zip(source.tolist(), target.tolist(), strict=True):
        following[begin].append(end)
    found = np.zeros(states, np.bool_)
    while todo:
        state = todo.pop()
        if not found[state]:
            found[state] = True
            todo += following[state]
    return found


def _blocks(edges: Edges, accepting: Flags) -> npt.NDArray[np.int64]:
    """int [states]: states of one number cannot be told apart. DEAD is one more state."""
    dead = len(edges)
    whole = np.vstack([edges, np.full((1, 256), DEAD, np.int32)])
    letters = np.unique(np.where(whole == DEAD, dead, whole), axis=1)  # one column per kind of byte
    sources: list[dict[int, list[int]]] = []
    for column in letters.T.tolist():
        into: dict[int, list[int]] = defaultdict(list)
        for state, target in enumerate(column):
            into[target].append(state)
        sources.append(into)
    partition = [block for block in (set(np.flatnonzero(accepting).tolist()),) if block]
    partition.append(set(range(dead + 1)) - (partition[0] if partition else set()))
    block_of = np.zeros(dead + 1, np.int64)
    for number, block in enumerate(partition):
        block_of[list(block)] = number
    todo = set(range(len(partition)))
    while todo:
        splitter = tuple(partition[todo.pop()])
        for into in sources:
            split: dict[int, set[int]] = defaultdict(set)
            for target in splitter:
                for state in into.get(target, ()):
                    split[int(block_of[state])].add(state)
            for number, part in split.items():
                if len(part) < len(partition[number]):
                    _split(partition, block_of, todo, number, part)
    return block_of[:dead]


def _split(
    partition: list[set[int]], block_of: npt.NDArray[np.int64], todo: set[int], number: int, part: set[int]
) -> None:
    """Takes ``part`` out of a block; the smaller half becomes the new block, and must be worked on."""
    rest = partition[number] - part
    small, large = (part, rest) if len(part) <= len(rest) else (rest, part)
    partition[number] = large
    partition.append(small)
    block_of[list(small)] = len(partition) - 1
    todo.add(len(partition) - 1)


def combined(left: Machine, right: Machine, accept: Callable[[bool, bool], bool], limit: int) -> Machine:
    """The texts t with ``accept(t in left, t in right)``; ``accept(False, False)`` must be False."""
    pairs = {(0, 0): 0}
    rows: list[npt.NDArray[np.int32]] = []
    accepting: list[bool] = []
    todo = [(0, 0)]
    while todo:
        one, two = todo.pop(0)
        in_left, in_right = (
            bool(state != DEAD and machine.accepting[state]) for machine, state in ((left, one), (right, two))
        )
        accepting.append(accept(in_left, in_right))
        row = np.full(256, DEAD, np.int32)
        after = np.stack([_row(left, one), _row(right, two)], axis=1)
        targets, inverse = np.unique(after, axis=0, return_inverse=True)
        for number, (a, b) in enumerate(targets.tolist()):
            # What only the left can still read may be dropped where it would never be accepted.
            if (a == DEAD and not accept(False, True)) or (b == DEAD and not accept(True, False)):
                continue
            if (a, b) not in pairs:
                pairs[a, b] = len(pairs)
                todo.append((a, b))
            row[inverse.ravel() == number] = pairs[a, b]
        rows.append(row)
        if len(pairs) > limit:
            raise too_large(limit)
    return minimal(np.stack(rows), np.array(accepting))


def _row(machine: Machine, state: int) -> npt.NDArray[np.int32]:
    return machine.edges[state] if state != DEAD else np.full(256, DEAD, np.int32)


def both(left: Machine, right: Machine, limit: int) -> Machine:
    """What both accept."""
    return combined(left, right, lambda a, b: a and b, limit)


def without(left: Machine, right: Machine, limit: int) -> Machine:
    """What the left accepts and the right does not."""
    return combined(left, right, lambda a, b: a and not b, limit)
