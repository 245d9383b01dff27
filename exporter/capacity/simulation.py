"""The same queue as ``queueing`` solves, played out request by request."""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Played:
    """What requests met: means in seconds, and the seconds that 95 of 100 answers took at most."""

    wait_seconds: float
    answer_seconds: float
    answer_seconds_95: float


def play(
    rate: float,
    seconds: Sequence[float],
    replicas: int = 1,
    *,
    requests: int = 20_000,
    seed: int = 0,
    shared: bool = False,
) -> Played:
    """Plays ``requests`` requests at ``rate`` a second; the first tenth is not counted.

    Args:
      seconds: of a batch of 1, 2, ... rows.
      shared: all replicas take from one queue; else each request is sent to one at random.
    """
    chance = random.Random(seed)
    waiting: list[deque[tuple[int, float]]] = [deque() for _ in range(1 if shared else replicas)]
    free = set(range(replicas))
    ends: list[tuple[float, int]] = []
    waits, answers = [0.0] * requests, [0.0] * requests

    def start(replica: int, now: float) -> None:
        queue = waiting[0 if shared else replica]
        batch = [queue.popleft() for _ in range(min(len(queue), len(seconds)))]
        if not batch:
            free.add(replica)
            return
        free.discard(replica)
        end = now + seconds[len(batch) - 1]
        heapq.heappush(ends, (end, replica))
        for number, came in batch:
            waits[number], answers[number] = now - came, end - came

    now = 0.0
    for number in range(requests):
        now += chance.expovariate(rate)
        while ends and ends[0][0] <= now:
            end, replica = heapq.heappop(ends)
            start(replica, end)
        chosen = 0 if shared else chance.randrange(replicas)
        waiting[chosen].append((number, now))
        taker = next(iter(free), None) if shared else (chosen if chosen in free else None)
        if taker is not None:
            start(taker, now)
    while ends:
        end, replica = heapq.heappop(ends)
        start(replica, end)
    counted = slice(requests // 10, None)
    ordered = sorted(answers[counted])
    mean = len(ordered)
    return Played(sum(waits[counted]) / mean, sum(ordered) / mean, ordered[int(0.95 * (mean - 1))])
