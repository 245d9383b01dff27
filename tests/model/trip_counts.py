"""Loops in an optimised HLO."""

from __future__ import annotations

import re


def loops(hlo: str) -> list[int | None]:
    """Each loop's number of passes, None where XLA does not know it."""
    lines = [line for line in hlo.splitlines() if " while(" in line]
    counts = [re.search(r'"known_trip_count":\{"n":"(\d+)"\}', line) for line in lines]
    return [int(count[1]) if count else None for count in counts]
