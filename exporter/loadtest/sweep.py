"""The highest rate whose latency stays within a goal: doubled until it does not, then narrowed down."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable

#: Times that the rate is doubled, or halved, at most: who misses the goal at a 64th of the first rate
#: has no rate within it.
_DOUBLINGS, _HALVINGS = 20, 6


async def highest_rate(
    within_goal: Callable[[float], Awaitable[bool]], start: float, precision: float
) -> tuple[float | None, bool]:
    """The highest rate that was found within the goal, and whether a higher one was not.

    From ``start`` the rate is doubled while it is within, or halved while it is not; then the geometric mean
    of the best and the worst is tried until they are within the factor ``1 + precision``.

    Returns:
      None where no rate was within the goal.
    """
    best: float | None = None
    worst: float | None = None
    rate = start
    while best is None or worst is None:
        if await within_goal(rate):
            best, rate = rate, rate * 2
        else:
            worst, rate = rate, rate / 2
        if not start * 0.5**_HALVINGS <= rate <= start * 2**_DOUBLINGS:
            break
    if best is None or worst is None:
        return best, False
    while worst / best > 1 + precision:
        middle = math.sqrt(best * worst)
        if await within_goal(middle):
            best = middle
        else:
            worst = middle
    return best, True
