"""Rows to requests, before the first is timed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np

from exporter.loadtest.endpoint import Endpoint, Prepared, Row
from exporter.loadtest.load_settings import Settings
from exporter.loadtest.made_prompts import make_prompts

#: Different prompts that are made at most, and requests that are prepared at a time.
_MADE, _AT_ONCE = 256, 8


async def prepare(endpoint: Endpoint, settings: Settings) -> tuple[list[Prepared], int]:
    """The requests that are sent in turn, and of how many rows they were made."""
    rows = settings.rows if settings.rows is not None else await _made(endpoint, settings)
    size, wanted = settings.rows_per_request, _wanted(settings)
    # The last request of a file is filled up with its first rows.
    groups = [[rows[(start + n) % len(rows)] for n in range(size)] for start in range(0, len(rows), size)]
    if wanted is not None:
        groups = groups[: max(wanted, settings.warmup)]
    prepared: list[Prepared] = []
    for start in range(0, len(groups), _AT_ONCE):
        prepared += await asyncio.gather(*map(endpoint.prepare, groups[start : start + _AT_ONCE]))
    return prepared, len(rows)


async def _made(endpoint: Endpoint, settings: Settings) -> Sequence[Row]:
    wanted = _wanted(settings)
    count = _MADE if wanted is None else min(_MADE, wanted * settings.rows_per_request)
    generator = np.random.default_rng(settings.load.seed)
    assert settings.lengths is not None
    lengths = settings.lengths.draw(generator, count, endpoint.buckets, endpoint.longest)
    return [{"prompt": text} for text in await make_prompts(lengths, endpoint.tokens, generator)]


def _wanted(settings: Settings) -> int | None:
    """How many requests are measured; None: that is not known before."""
    return settings.load.requests if settings.goal is None else None
