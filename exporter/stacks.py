"""Layers that repeat, and the names of their weights where these are stacked.

A run is a pattern of ``period`` layers that comes ``count`` times. Of a run that comes more than once, the
weights of the layers in one place of the pattern are stacked, and named by the slice of the layers that they
belong to: of 24 layers that alternate, ``layers.0:24:2.attention.qkv.kernel`` [12, in, out] holds that of the
layers 0, 2, 4 and so on. What is not stacked is named by its layer: ``layers.5.attention.qkv.kernel``.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

_STACKED = re.compile(r"layers\.(\d+):(\d+):(\d+)\.")


@dataclass(frozen=True, order=True)
class Run:
    """Layers ``first`` to ``first + period * count - 1``."""

    first: int
    period: int
    count: int

    @property
    def stop(self) -> int:
        """The layer behind the last one."""
        return self.first + self.period * self.count

    def names(self) -> list[str]:
        """What the weights' names of each place begin with."""
        firsts = range(self.first, self.first + self.period)
        if self.count == 1:
            return [f"layers.{layer}." for layer in firsts]
        return [f"layers.{layer}:{self.stop}:{self.period}." for layer in firsts]


def find_runs(kinds: Sequence[Hashable]) -> tuple[Run, ...]:
    """Runs that cover all layers, from each one's kind; the longest first, of equally long ones the simplest.

    Example: kinds a a b a a b a a make (0, 3, 2), which is aab twice, and (6, 1, 2), which is a twice.
    """
    runs, first = [], 0
    while first < len(kinds):
        run = max(_runs_at(kinds, first), key=lambda run: (run.stop, -run.period))
        runs.append(run)
        first = run.stop
    return tuple(runs)


def _runs_at(kinds: Sequence[Hashable], first: int) -> Iterable[Run]:
    yield Run(first, 1, 1)
    for period in range(1, (len(kinds) - first) // 2 + 1):
        pattern, count = kinds[first : first + period], 1
        while kinds[first + period * count : first + period * (count + 1)] == pattern:
            count += 1
        if count > 1:
            yield Run(first, period, count)


def runs_of(names: Iterable[str], layers: int) -> tuple[Run, ...]:
    """The runs that the names of the weights of ``layers`` layers tell: what is not stacked stands alone."""
    firsts: dict[tuple[int, int], int] = {}
    for found in filter(None, map(_STACKED.match, names)):
        first, stop, period = map(int, found.groups())
        firsts[stop, period] = min(first, firsts.get((stop, period), first))
    runs = [Run(first, period, (stop - first) // period) for (stop, period), first in firsts.items()]
    stacked = {layer for run in runs for layer in range(run.first, run.stop)}
    return tuple(sorted([*runs, *(Run(layer, 1, 1) for layer in set(range(layers)) - stacked)]))
