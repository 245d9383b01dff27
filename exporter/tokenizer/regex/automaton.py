"""What a pattern can match, as an automaton: for proofs, never for matching."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from exporter.tokenizer import chars
from exporter.tokenizer.chars import CharSet
from exporter.tokenizer.regex.syntax import (
    UNBOUNDED,
    Alternate,
    Chars,
    Concat,
    Repeat,
    Syntax,
    why_untranslatable,
)


class Automaton:
    """Thompson's construction; states are ints, edges carry a CharSet."""

    def __init__(self, syntax: Syntax) -> None:
        self.edges: dict[int, list[tuple[CharSet, int]]] = {}
        self.empty: dict[int, list[int]] = {}
        self.count = 0
        self.first = self._state()
        self.final = self._build(syntax, self.first)

    def _state(self) -> int:
        self.count += 1
        self.edges[self.count - 1], self.empty[self.count - 1] = [], []
        return self.count - 1

    def _build(self, syntax: Syntax, start: int) -> int:
        """Adds states after ``start``; returns the one in which ``syntax`` has been read."""
        match syntax:
            case Chars(members):
                end = self._state()
                self.edges[start].append((members, end))
            case Concat(items):
                end = start
                for item in items:
                    end = self._build(item, end)
            case Alternate(arms):
                end = self._state()
                for arm in arms:
                    branch = self._state()
                    self.empty[start].append(branch)
                    self.empty[self._build(arm, branch)].append(end)
            case Repeat(item, minimum, maximum):
                end = self._repeat(item, minimum, maximum, start)
            case _:
                raise why_untranslatable(syntax)
        return end

    def _repeat(self, item: Syntax, minimum: int, maximum: int, start: int) -> int:
        for _ in range(minimum):
            start = self._build(item, start)
        end = self._state()
        self.empty[start].append(end)
        if maximum == UNBOUNDED:
            loop = self._state()
            self.empty[start].append(loop)
            last = self._build(item, loop)
            self.empty[last] += [loop, end]
            return end
        for _ in range(maximum - minimum):
            start = self._build(item, start)
            self.empty[start].append(end)
        return end

    def closure(self, states: Iterator[int] | Sequence[int]) -> frozenset[int]:
        """These states and all that need no character to be reached."""
        found, todo = set(), list(states)
        while todo:
            state = todo.pop()
            if state not in found:
                found.add(state)
                todo += self.empty[state]
        return frozenset(found)

    def start(self) -> frozenset[int]:
        return self.closure([self.first])

    def accepts(self, states: frozenset[int]) -> bool:
        return self.final in states

    def leaving(self, states: frozenset[int]) -> Iterator[tuple[CharSet, int]]:
        """Every edge out of these states."""
        for state in states:
            yield from self.edges[state]

    def step(self, states: frozenset[int], character: int) -> frozenset[int]:
        """The states after one more character."""
        return self.closure([target for members, target in self.leaving(states) if members[character]])

    def first_characters(self) -> CharSet:
        """What a match may begin with."""
        return _union([members for members, _ in self.leaving(self.start())])

    def is_total(self) -> bool:
        """Whether each character alone is a match, whatever follows."""
        alone = [
            members for members, target in self.leaving(self.start()) if self.accepts(self.closure([target]))
        ]
        return bool(not chars.complement(_union(alone)).any())


def _union(sets: Sequence[CharSet]) -> CharSet:
    return np.logical_or.reduce([np.zeros(chars.CODE_POINTS, np.bool_), *sets])
