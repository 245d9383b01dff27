"""Sets of characters as ranges of Unicode scalar values, and their UTF-8 as ranges of bytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache

Ranges = tuple[tuple[int, int], ...]
"""Inclusive, increasing, none touching the next; without the surrogates, which no text holds."""

_LAST = 0x10FFFF
_SURROGATES = (0xD800, 0xDFFF)
# The last code points of one, two, three and four bytes.
_LIMITS = (0x7F, 0x7FF, 0xFFFF, _LAST)

ByteRange = tuple[int, int]


def ranges(pairs: Iterable[tuple[int, int]]) -> Ranges:
    """The set of these inclusive ranges, which may overlap.

    >>> ranges([(97, 99), (98, 105), (106, 107)])
    ((97, 107),)
    """
    merged: list[tuple[int, int]] = []
    for low, high in sorted(_without_surrogates(pairs)):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], high))
        else:
            merged.append((low, high))
    return tuple(merged)


def _without_surrogates(pairs: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    first, last = _SURROGATES
    for low, high in pairs:
        for begin, end in ((low, min(high, first - 1)), (max(low, last + 1), high)):
            if begin <= end:
                yield begin, end


def of(text: str) -> Ranges:
    """The set of a text's characters."""
    return ranges((ord(character), ord(character)) for character in text)


def complement(members: Ranges) -> Ranges:
    """Every other character."""
    starts = [0, *(high + 1 for _, high in members)]
    ends = [*(low - 1 for low, _ in members), _LAST]
    return ranges((start, end) for start, end in zip(starts, ends, strict=True) if start <= end)


def intersection(left: Ranges, right: Ranges) -> Ranges:
    return complement(ranges([*complement(left), *complement(right)]))


def difference(left: Ranges, right: Ranges) -> Ranges:
    return intersection(left, complement(right))


ANY = ranges([(0, _LAST)])


@cache
def utf8(members: Ranges) -> tuple[tuple[ByteRange, ...], ...]:
    """The UTF-8 of a set: sequences of byte ranges; no byte string lies in two of them.

    >>> utf8(ranges([(0x61, 0x62), (0xE9, 0xE9)]))
    (((97, 98),), ((195, 195), (169, 169)))
    """
    found: list[tuple[ByteRange, ...]] = []
    for low, high in members:
        begin = low
        for limit in _LIMITS:
            if begin <= min(high, limit):
                found += _sequences(begin, min(high, limit))
                begin = limit + 1
    return tuple(found)


def _sequences(low: int, high: int) -> Iterator[tuple[ByteRange, ...]]:
    """A range of code points of one length, parted so that every byte has a range of its own."""
    for size in range(1, _length(high)):
        below = (1 << 6 * size) - 1
        if low & ~below != high & ~below:
            if low & below:
                yield from _sequences(low, low | below)
                yield from _sequences((low | below) + 1, high)
                return
            if high & below != below:
                yield from _sequences(low, (high & ~below) - 1)
                yield from _sequences(high & ~below, high)
                return
    yield tuple(zip(chr(low).encode(), chr(high).encode(), strict=True))


def _length(code_point: int) -> int:
    return next(size for size, limit in enumerate(_LIMITS, 1) if code_point <= limit)
