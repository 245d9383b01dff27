"""Which rows share a call: those of one length bucket, and of like numbers of new tokens.

A row's bucket is its own, so that it meets the same compiled program whoever its neighbours are. Inside a
bucket the order is free: a call takes as long as its longest answer.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import groupby


def batches(
    lengths: Sequence[int], new_tokens: Sequence[int], buckets: Sequence[int], size: int
) -> list[list[int]]:
    """Rows by their places, up to ``size`` a call.

    The longest buckets and answers come first: where calls run side by side, the last ones are short.

    Args:
      lengths: of the rows' prompts; those longer than all ``buckets`` share calls of their own.
      new_tokens: that each row may generate at most.
      buckets: prompt lengths, ascending.
    """
    bucket = [bisect_left(buckets, length) for length in lengths]
    order = sorted(range(len(lengths)), key=lambda place: (-bucket[place], -new_tokens[place]))
    groups = [list(places) for _, places in groupby(order, key=bucket.__getitem__)]
    return [group[start : start + size] for group in groups for start in range(0, len(group), size)]
