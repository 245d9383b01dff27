"""A queue before a server that answers in batches, and how many such servers a load needs.

The model: requests come at random moments (Poisson), each to any of the replicas with equal chance, so each
replica has a queue of its own, M/D[1..B]/1: a free server takes what waits, at most B rows, and answers
them together in seconds that depend on nothing but their number. The queue's length whenever a batch starts
is a Markov chain, which is solved as it stands; waiting follows from it by Little's law. Balancing that looks
at queues is better than chance.

Bailey, "On queueing processes with bulk service", J. R. Stat. Soc. B 16 (1954).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exporter.errors import OptionError

#: States of the chain, at most; a queue that is longer more often than ``_TAIL`` is called too loaded.
_MOST_STATES = 2048
_TAIL = 1e-9
MOST_REPLICAS = 1_000_000


@dataclass(frozen=True)
class Queue:
    """One replica in the long run.

    Attributes:
      busy: part of the time that it computes.
      wait_seconds: mean, from a request's arrival to the start of its batch.
      service_seconds: mean, of the batch that a request is in.
      rows: mean, of a batch.
    """

    busy: float
    wait_seconds: float
    service_seconds: float
    rows: float

    @property
    def answer_seconds(self) -> float:
        return self.wait_seconds + self.service_seconds


def queue_of(rate: float, seconds: Sequence[float]) -> Queue | None:
    """The queue of ``rate`` requests a second at a server whose batch of b rows takes ``seconds[b - 1]``.

    None where it grows without end, or is too near to that.
    """
    most, states = len(seconds), 4 * len(seconds) + 64
    if rate * seconds[-1] / most >= 1:
        return None
    while states <= max(_MOST_STATES, 4 * most + 64):
        chance = _stationary(rate, seconds, states)
        if chance[-1] < _TAIL:
            return _means(rate, np.asarray(seconds), chance)
        states *= 2
    return None


def _stationary(rate: float, seconds: Sequence[float], states: int) -> NDArray[np.float64]:
    """Chance that 1, 2, ... ``states`` rows are there when a batch starts; the last one is of all beyond."""
    most = len(seconds)
    arrivals = [_poisson(rate * second, states) for second in seconds]
    moves = np.zeros((states, states))
    for there in range(1, states + 1):
        batch = min(there, most)
        left, come = there - batch, arrivals[batch - 1]
        after = np.zeros(states + 1)
        after[left:] = come[: states + 1 - left]
        after[states] += max(0.0, 1 - after.sum())
        after[1] += after[0]  # nobody waits: the next batch is the next request alone
        moves[there - 1] = after[1:]
    equations = moves.T - np.eye(states)
    equations[-1] = 1
    right = np.zeros(states)
    right[-1] = 1
    return np.asarray(np.linalg.solve(equations, right))


def _poisson(mean: float, most: int) -> NDArray[np.float64]:
    counts = np.arange(most + 1)
    logs = np.array([math.lgamma(count + 1) for count in counts])
    return np.asarray(np.exp(counts * math.log(mean) - mean - logs))


def _means(rate: float, seconds: NDArray[np.float64], chance: NDArray[np.float64]) -> Queue:
    """Averages over a cycle: a batch, and the idle time behind it."""
    there = np.arange(1, len(chance) + 1)
    batch = np.minimum(there, len(seconds))
    second, left = seconds[batch - 1], there - batch
    computing = chance @ second
    idle = chance @ np.where(left == 0, np.exp(-rate * second), 0.0) / rate
    waiting = chance @ (left * second + rate * second**2 / 2)
    rows = chance @ batch
    return Queue(
        busy=float(computing / (computing + idle)),
        wait_seconds=float(waiting / (computing + idle) / rate),
        service_seconds=float(chance @ (batch * second) / rows),
        rows=float(rows),
    )


def replicas_of(rate: float, seconds: Sequence[float], most_wait: float) -> tuple[int, Queue]:
    """The fewest replicas whose mean wait is at most ``most_wait`` seconds, and the queue of each.

    Raises:
      OptionError: a million are too few.
    """
    most = max(1, math.ceil(rate * seconds[-1] / len(seconds)))
    enough = _within(rate, seconds, most_wait, most)
    least = most - 1
    while enough is None:
        least, most = most, most * 2
        if most > MOST_REPLICAS:
            raise OptionError(
                f"--requests-per-second: {rate:g} with a mean wait of at most {most_wait:g} s needs more "
                f"than {MOST_REPLICAS:,} replicas; allow a longer --wait, or plan for a faster card"
            )
        enough = _within(rate, seconds, most_wait, most)
    while most - least > 1:
        middle = (least + most) // 2
        found = _within(rate, seconds, most_wait, middle)
        if found is None:
            least = middle
        else:
            most, enough = middle, found
    return most, enough


def _within(rate: float, seconds: Sequence[float], most_wait: float, replicas: int) -> Queue | None:
    queue = queue_of(rate / replicas, seconds)
    return queue if queue is not None and queue.wait_seconds <= most_wait else None
