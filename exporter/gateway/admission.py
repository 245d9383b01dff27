"""How many requests are let in: those in work and a queue of a stated depth; the next one is told when."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

from exporter.gateway.errors import ApiError

#: The weight of the newest request in the mean of their seconds.
_NEWEST = 0.1


class Admission:
    """Counts the requests that are inside.

    Args:
      at_once: how many are worked on at one time.
      depth: how many more may wait.
    """

    def __init__(self, at_once: int, depth: int) -> None:
        self.at_once, self.depth = at_once, depth
        self.inside = 0
        self._mean_seconds = 1.0

    @property
    def waiting(self) -> int:
        return max(0, self.inside - self.at_once)

    @contextmanager
    def request(self) -> Iterator[None]:
        """A request's stay.

        Raises:
          ApiError: 429, with Retry-After: the time in which the queue is worked off at the present pace.
        """
        if self.inside >= self.at_once + self.depth:
            seconds = max(1, math.ceil(self._mean_seconds * self.depth / self.at_once))
            raise ApiError(
                429,
                f"{self.inside} requests are in work or waiting, which is the most; try again in {seconds} s",
                code="server_overloaded",
                headers={"Retry-After": str(seconds)},
            )
        self.inside += 1
        start = time.monotonic()
        try:
            yield
        finally:
            self.inside -= 1
            self._mean_seconds += _NEWEST * (time.monotonic() - start - self._mean_seconds)
