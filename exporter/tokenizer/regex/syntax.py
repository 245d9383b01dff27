"""Patterns as trees."""

from __future__ import annotations

from dataclasses import dataclass

from exporter.tokenizer.chars import CharSet

UNBOUNDED = -1


@dataclass(frozen=True, eq=False)
class Chars:
    """One character of a set."""

    members: CharSet


@dataclass(frozen=True, eq=False)
class Concat:
    items: tuple[Syntax, ...]


@dataclass(frozen=True, eq=False)
class Alternate:
    arms: tuple[Syntax, ...]


@dataclass(frozen=True, eq=False)
class Repeat:
    """``maximum`` -1 means without end."""

    item: Syntax
    minimum: int
    maximum: int
    greedy: bool = True
    possessive: bool = False


@dataclass(frozen=True, eq=False)
class NotFollowedBy:
    """``(?!x)`` for one character x."""

    members: CharSet


@dataclass(frozen=True, eq=False)
class FollowedBy:
    """``(?=x)``; ``text`` is the pattern's own spelling."""

    item: Syntax
    text: str


@dataclass(frozen=True, eq=False)
class LineEnd:
    """``$``: before a line end, or at the end of the text."""


@dataclass(frozen=True, eq=False)
class WordBoundary:
    """``\\b``."""


Syntax = Chars | Concat | Alternate | Repeat | NotFollowedBy | FollowedBy | LineEnd | WordBoundary


def why_untranslatable(syntax: Syntax) -> UntranslatableError:
    """What an assertion is called where it has no translation."""
    match syntax:
        case FollowedBy(text=text):
            return UntranslatableError(f"the look-ahead {text!r}")
        case LineEnd():
            return UntranslatableError("the anchor '$'")
        case WordBoundary():
            return UntranslatableError("the word boundary '\\b'")
    return UntranslatableError("a look-ahead other than '\\s+(?!\\S)|\\s+' as the last alternatives")


class UntranslatableError(Exception):
    """Why a pattern has no exact translation."""
