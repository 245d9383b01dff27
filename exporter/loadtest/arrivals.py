"""When requests of an open loop are sent: a Poisson process, whatever the server does."""

from __future__ import annotations

import numpy as np

#: Gaps that are drawn at a time until the seconds are full.
_BLOCK = 4096


def poisson(rate: float, *, requests: int | None, seconds: float | None, seed: int) -> np.ndarray:
    """Times from 0, ascending; gaps are exponential with mean ``1 / rate`` seconds.

    Args:
      requests, seconds: how many, or until when; with both what ends first.
    """
    generator = np.random.default_rng(seed)
    if requests is not None:
        times = np.cumsum(generator.exponential(1 / rate, requests))
        return times if seconds is None else times[times < seconds]
    assert seconds is not None
    times = np.zeros(0)
    while not len(times) or times[-1] < seconds:
        last = times[-1] if len(times) else 0.0
        times = np.concatenate([times, last + np.cumsum(generator.exponential(1 / rate, _BLOCK))])
    return times[times < seconds]
