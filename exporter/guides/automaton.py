"""Trees -> automata: Thompson's construction, then sets of states, one per state of the result."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from exporter.guides.charsets import utf8
from exporter.guides.machine import DEAD, Machine, minimal, too_large
from exporter.guides.syntax import (
    UNBOUNDED,
    Chars,
    Embedded,
    End,
    LastLineEnd,
    Listing,
    Member,
    OneOf,
    Repeat,
    Sequence,
    Start,
    Syntax,
    Text,
)

# So many states before sets of them are formed, for one afterwards: most of them are joints.
_JOINTS = 16

_Written = dict[int, list[int]]


def machine_of(syntax: Syntax, limit: int) -> Machine:
    """The minimal automaton; OptionError once it is sure to need more than ``limit`` states before that."""
    drawing = _Drawing(limit)
    start = drawing.state()
    final = drawing.draw(syntax, start)
    return _determined(drawing, start, final, limit)


class _Drawing:
    """An automaton with choices.

    Attributes:
      edges: of each state, (lowest byte, highest byte, target).
      joints: of each state, those that need no byte to be reached.
      conditions: the same, under a condition.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.edges: list[list[tuple[int, int, int]]] = []
        self.joints: list[list[int]] = []
        self.conditions: dict[type[Syntax], dict[int, list[int]]] = {Start: {}, End: {}, LastLineEnd: {}}

    def state(self) -> int:
        if len(self.edges) > _JOINTS * self.limit:
            raise too_large(self.limit)
        self.edges.append([])
        self.joints.append([])
        return len(self.edges) - 1

    def draw(self, syntax: Syntax, start: int) -> int:
        """Adds what reads ``syntax`` behind ``start``, never leading back to it; returns its end."""
        match syntax:
            case Chars(members):
                return self._sequences(utf8(members), start)
            case Text(text):
                for byte in text.encode():
                    start = self._byte(start, byte, byte, self.state())
                return start
            case Sequence(items):
                for item in items:
                    start = self.draw(item, start)
                return start
            case OneOf(arms):
                end = self.state()
                for arm in arms:
                    self.joints[self.draw(arm, start)].append(end)
                return end
            case Repeat():
                return self._repeat(syntax, start)
            case Listing():
                return self._listing(syntax, start)
            case Start() | End() | LastLineEnd():
                end = self.state()
                self.conditions[type(syntax)].setdefault(start, []).append(end)
                return end
            case Embedded(machine):
                return self._embedded(machine, start)

    def _byte(self, start: int, low: int, high: int, end: int) -> int:
        self.edges[start].append((low, high, end))
        return end

    def _fresh(self, start: int) -> int:
        """A state behind ``start`` that may be led back to."""
        fresh = self.state()
        self.joints[start].append(fresh)
        return fresh

    def _sequences(self, sequences: Iterable[tuple[tuple[int, int], ...]], start: int) -> int:
        """Sequences of byte ranges; the ends that they have in common are drawn once."""
        end = self.state()
        before: dict[tuple[tuple[int, int], ...], int] = {(): end}
        for sequence in sequences:
            for size in range(1, len(sequence)):
                rest = sequence[-size:]
                if rest not in before:
                    before[rest] = self.state()
                    self._byte(before[rest], *rest[0], before[rest[1:]])
            self._byte(start, *sequence[0], before[sequence[1:]])
        return end

    def _repeat(self, repeat: Repeat, start: int) -> int:
        end = self.state()
        if repeat.minimum == 0:
            self.joints[start].append(end)
        endless = repeat.maximum == UNBOUNDED
        copies = max(repeat.minimum, 1) if endless else repeat.maximum
        for number in range(1, copies + 1):
            first = self._fresh(start)
            start = self.draw(repeat.item, first)
            if number >= repeat.minimum:
                self.joints[start].append(end)
            if number < copies:
                start = self.draw(Text(repeat.separator), start)
            elif endless:
                self.joints[self.draw(Text(repeat.separator), start)].append(first)
        return end

    def _listing(self, listing: Listing, start: int) -> int:
        """Between two members: a state for each number of those written, as far as it still matters."""
        written = {0: [start]}
        for member in listing.members:
            written = self._member(listing, member, written)
        end = self.state()
        for count, before in written.items():
            for state in before if count >= listing.minimum else ():
                self.joints[state].append(end)
        return end

    def _member(self, listing: Listing, member: Member, written: _Written) -> _Written:
        """The states behind a member, by number written."""
        entries: dict[int, int] = {}
        after: _Written = {} if member.required else {n: [*states] for n, states in written.items()}

        def lead_in(count: int, state: int) -> None:
            following = _counted(listing, count)
            if following is not None:
                entry = entries[following] if following in entries else self.state()
                entries[following] = entry
                self.joints[self.draw(Text(listing.separator if count else ""), state)].append(entry)

        for count, states in written.items():
            for state in states:
                lead_in(count, state)
        drawn: set[int] = set()
        while remaining := sorted(entries.keys() - drawn):
            count = remaining[0]
            drawn.add(count)
            last = self.draw(member.item, entries[count])
            after.setdefault(count, []).append(last)
            if member.repeated:
                lead_in(count, last)
        return after

    def _embedded(self, machine: Machine, start: int) -> int:
        states = [self.state() for _ in range(machine.states)]
        self.joints[start].append(states[0])
        end = self.state()
        for state, row, accepting in zip(states, machine.edges, machine.accepting.tolist(), strict=True):
            cuts = np.flatnonzero(np.diff(row)).tolist()
            for low, high in zip([0, *(cut + 1 for cut in cuts)], [*cuts, 255], strict=True):
                if row[low] != DEAD:
                    self._byte(state, low, high, states[row[low]])
            if accepting:
                self.joints[state].append(end)
        return end

    def closure(self, states: Iterable[int], *holding: type[Syntax]) -> frozenset[int]:
        """These states and all that need no byte to be reached where these conditions hold."""
        tables = [table for condition in holding if (table := self.conditions[condition])]
        found: set[int] = set()
        todo = list(states)
        while todo:
            state = todo.pop()
            if state not in found:
                found.add(state)
                todo += self.joints[state]
                for table in tables:
                    todo += table.get(state, ())
        return frozenset(found)

    def after_last_line_end(self, states: Iterable[int], final: int, *holding: type[Syntax]) -> bool:
        """Whether the text may end with one more line end, some of which stood before it."""
        if not self.conditions[LastLineEnd]:
            return False
        before = self.closure(states, LastLineEnd, *holding)
        edges = [edge for state in before for edge in self.edges[state]]
        after = {end for low, high, end in edges if low <= 0x0A <= high}
        return final in self.closure(after, End, LastLineEnd)


def _counted(listing: Listing, count: int) -> int | None:
    """The number after one more member; None where that is too many."""
    if listing.maximum == UNBOUNDED:
        return min(count + 1, max(listing.minimum, 1))
    return count + 1 if count < listing.maximum else None


def _determined(drawing: _Drawing, start: int, final: int, limit: int) -> Machine:
    """The automaton of the sets of states that a text can lead to."""
    done = drawing.state()  # the text may end here, and does not go on
    drawing.joints[done].append(final)
    first = drawing.closure([start], Start)
    numbers, todo = {first: 0}, [first]
    rows: list[npt.NDArray[np.int32]] = []
    accepting: list[bool] = []
    for states in todo:  # grows
        holding = (Start,) if states is first else ()
        accepting.append(final in drawing.closure(states, End, LastLineEnd, *holding))
        edges = [edge for state in states for edge in drawing.edges[state]]
        if drawing.after_last_line_end(states, final, *holding):
            edges.append((0x0A, 0x0A, done))
        row = np.full(256, DEAD, np.int32)
        for low, high, targets in _parted(edges):
            following = drawing.closure(targets)
            if following not in numbers:
                numbers[following] = len(numbers)
                todo.append(following)
            row[low : high + 1] = numbers[following]
        rows.append(row)
        if len(numbers) > limit:
            raise too_large(limit)
    return minimal(np.stack(rows), np.array(accepting))


def _parted(edges: list[tuple[int, int, int]]) -> Iterator[tuple[int, int, set[int]]]:
    """Disjoint ranges of bytes, each with all its targets."""
    cuts = sorted({low for low, _, _ in edges} | {high + 1 for _, high, _ in edges})
    for low, after in pairwise(cuts):
        targets = {target for first, last, target in edges if first <= low <= last}
        if targets:
            yield low, after - 1, targets
