"""Texts that know which of their characters people wrote, whatever a template makes of them.

``Marked`` is a string beside a mark per character: 1 where people wrote it, 0 where the template did.
What a template may do with a string (add, cut, strip, split, replace, join, change case) is done to the marks
too; what has no exact effect on them is refused, never guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import SupportsIndex

from exporter.chat.tracked import Tracked, refuse

_KINDS = _OURS, _THEIRS = b"\0", b"\1"


class Marked(Tracked):
    """A text and its marks, of the same length."""

    __slots__ = ("_marks",)
    _marks: bytes

    def __new__(cls, text: str, marks: bytes) -> Marked:
        self = super().__new__(cls, text)
        self._marks = marks
        return self

    @classmethod
    def lift(cls, text: str) -> Marked:
        """A text with its marks; a plain one is the template's."""
        return text if isinstance(text, cls) else cls(text, _OURS * len(text))

    @classmethod
    def whole(cls, text: str, why: str = "") -> Marked:
        """A text that people wrote, as a whole."""
        return cls(text, _THEIRS * len(text))

    @classmethod
    def joined(cls, texts: Iterable[str], between: str = "") -> Marked:
        """``between.join(texts)``."""
        texts = list(texts)
        marks = cls.lift(between)._marks.join(cls.lift(text)._marks for text in texts)
        return cls(str.join(between, texts), marks)

    def known(self, why: str) -> str:
        return str.__getitem__(self, slice(None))

    def __mul__(self, count: SupportsIndex) -> Marked:
        return Marked(super().__mul__(count), self._marks * count.__index__())

    __rmul__ = __mul__

    def __getitem__(self, key: SupportsIndex | slice) -> Marked:
        text = super().__getitem__(key)
        marks = self._marks[key] if isinstance(key, slice) else bytes([self._marks[key]])
        return Marked(text, marks)

    def __iter__(self) -> Iterator[Marked]:
        return map(self.__getitem__, range(len(self)))

    def lstrip(self, chars: str | None = None, /) -> Marked:
        return self[len(self) - len(super().lstrip(chars)) :]

    def rstrip(self, chars: str | None = None, /) -> Marked:
        return self[: len(super().rstrip(chars))]

    def removeprefix(self, prefix: str, /) -> Marked:
        return self[len(prefix) :] if self.startswith(prefix) else self

    def removesuffix(self, suffix: str, /) -> Marked:
        return self[: len(self) - len(suffix)] if self.endswith(suffix) else self

    # A template's compiled code sees these as lists and tuples of strings, as it would of a plain one.
    def split(self, sep: str | None = None, maxsplit: SupportsIndex = -1) -> list[str]:
        return self._found(super().split(sep, maxsplit))

    def rsplit(self, sep: str | None = None, maxsplit: SupportsIndex = -1) -> list[str]:
        return self._found(super().rsplit(sep, maxsplit))

    def splitlines(self, keepends: bool = False) -> list[str]:
        whole = self._found(super().splitlines(True))
        return [line[: len(bare)] for line, bare in zip(whole, super().splitlines(keepends), strict=True)]

    def partition(self, sep: str, /) -> tuple[str, str, str]:
        return self._parted([len(text) for text in super().partition(sep)])

    def rpartition(self, sep: str, /) -> tuple[str, str, str]:
        return self._parted([len(text) for text in super().rpartition(sep)])

    def replace(self, old: str, new: str, count: SupportsIndex = -1, /) -> Marked:
        if not old:
            refuse("'replace' of nothing")
        return self.joined(self.split(old, count), new)

    def lower(self) -> Marked:
        return self._recased(str.lower)

    def upper(self) -> Marked:
        return self._recased(str.upper)

    def title(self) -> Marked:
        return self._recased(str.title)

    def capitalize(self) -> Marked:
        return self._recased(str.capitalize)

    def casefold(self) -> Marked:
        return self._recased(str.casefold)

    def swapcase(self) -> Marked:
        return self._recased(str.swapcase)

    def _found(self, texts: list[str]) -> list[str]:
        """The same texts, marked: each begins where it is found first after the one before."""
        found, end = [], 0
        for text in texts:
            start = self.index(text, end)
            end = start + len(text)
            found.append(self[start:end])
        return list[str](found)

    def _parted(self, lengths: list[int]) -> tuple[str, str, str]:
        first, second, _ = lengths
        return self[:first], self[first : first + second], self[first + second :]

    def _recased(self, change: Callable[[str], str]) -> Marked:
        """Run by run, where that is what the whole becomes: a letter may depend on its neighbour."""
        runs = [(change(text), place % 2) for place, text in enumerate(segments_of(self))]
        if "".join(text for text, _ in runs) != change(self.known("its case")):
            refuse(f"{change.__name__!r}")
        return Marked(
            "".join(text for text, _ in runs), b"".join(_KINDS[by] * len(text) for text, by in runs)
        )


def segments_of(text: str) -> list[str]:
    """``[ours, theirs, ours, ..., ours]``: odd places are what people wrote, none of them empty."""
    marks, texts, start, theirs = Marked.lift(text)._marks, [], 0, False
    while (end := marks.find(_OURS if theirs else _THEIRS, start)) >= 0:
        texts.append(str.__getitem__(text, slice(start, end)))
        start, theirs = end, not theirs
    last = str.__getitem__(text, slice(start, None))
    return [*texts, last, ""] if theirs else [*texts, last]
