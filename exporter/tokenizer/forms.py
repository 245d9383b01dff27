"""Normalization knowledge asked of the library: maps of single characters, combining classes, compositions.

Source: Unicode Standard Annex 15 (normalization forms), section 3.11 of the standard (canonical ordering).
The data is the library's own, whatever version of Unicode it carries.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from tokenizers import normalizers

from exporter.tokenizer import chars

# A letter that no normalizer changes and no character becomes: it parts the characters of one long call.
_SEPARATOR = "\u2d30"
_FORMS: dict[str, Callable[[], normalizers.Normalizer]] = {
    "NFC": normalizers.NFC,
    "NFD": normalizers.NFD,
    "NFKC": normalizers.NFKC,
    "NFKD": normalizers.NFKD,
}


def changes(normalize: Callable[[str], str]) -> dict[int, tuple[int, ...]]:
    """Every character that a context-free ``normalize`` changes: code point -> code points."""
    return {
        ord(before): tuple(map(ord, after))
        for before, after in zip(
            chars.all_characters(), chars.map_characters(normalize, _SEPARATOR), strict=True
        )
        if before != after
    }


@cache
def decompositions(form: str) -> dict[int, tuple[int, ...]]:
    """The full decompositions of NFD or NFKD."""
    return changes(_FORMS[form]().normalize_str)


@cache
def combining_classes() -> dict[int, int]:
    """A rank for every character that canonical ordering moves; others (starters) are not listed.

    Two such characters are exchanged where the first one's rank is greater. The library is asked how it
    orders each against one mark of every class.
    """
    movable = _movable()
    marks = _class_marks(movable)
    ranks = {}
    for character in movable:
        after = sum(_exchanged(character, mark) for mark in marks)
        same = any(not _exchanged(character, mark) and not _exchanged(mark, character) for mark in marks)
        ranks[ord(character)] = 2 * after + (1 if same else 2)
    return ranks


def _exchanged(first: str, second: str) -> bool:
    """Whether canonical ordering exchanges the two."""
    return bool(normalizers.NFD().normalize_str(first + second) != first + second)


def _movable() -> list[str]:
    """The characters with a combining class: they pass, or are passed by, a mark of class 240 or 1."""
    points = chars.scalar_values()
    stable = np.array([point not in decompositions("NFD") for point in points])
    points = points[stable]
    found = set()
    for mark, first in (("\u0345", True), ("\u0334", False)):
        marks = np.full_like(points, ord(mark))
        columns = [np.full_like(points, ord("a")), *([marks, points] if first else [points, marks])]
        before = np.stack(columns, 1)
        after = chars.encode(normalizers.NFD().normalize_str(chars.decode(before.ravel()))).reshape(-1, 3)
        found |= set(points[(before != after).any(1)].tolist())
    return [chr(point) for point in sorted(found)]


def _class_marks(movable: list[str]) -> list[str]:
    """One mark of every combining class that Python knows."""
    marks = {unicodedata.combining(character): character for character in reversed(movable)}
    return [mark for combining_class, mark in marks.items() if combining_class]


class Compositions(NamedTuple):
    """Pairs that NFC joins: int64 keys ``first << 21 | second``, increasing, and what they become."""

    keys: npt.NDArray[np.int64]
    composites: npt.NDArray[np.int32]


@cache
def compositions() -> Compositions:
    """Every pair that the library's NFC joins, found from the decompositions that NFC undoes."""
    nfc = normalizers.NFC()
    pairs = {}
    for point, decomposed in decompositions("NFD").items():
        whole = chars.decode(decomposed)
        first, second = nfc.normalize_str(whole[:-1]), whole[-1]
        if len(whole) > 1 and len(first) == 1 and nfc.normalize_str(whole) == chr(point):
            pairs[ord(first) << 21 | ord(second)] = point
    keys = np.array(sorted(pairs), np.int64)
    return Compositions(keys, np.array([pairs[int(key)] for key in keys], np.int32))


@cache
def composition_stable(form: str) -> chars.CharSet:
    """Characters that NFC or NFKC leaves alone, whatever stands before them: text of these is normalized."""
    decomposed = decompositions("NFD" if form == "NFC" else "NFKD")
    composites = set(compositions().composites.tolist())
    changed = [point for point in decomposed if form == "NFKC" or point not in composites]
    if form == "NFKC":
        canonical = decompositions("NFD")
        changed = [p for p in changed if p not in composites or canonical.get(p) != decomposed[p]]
    moving = [*combining_classes(), *(compositions().keys & ((1 << 21) - 1)).tolist()]
    return chars.complement(chars.charset(changed) | chars.charset(moving))
