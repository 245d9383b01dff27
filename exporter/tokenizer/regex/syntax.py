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


Syntax = Chars | Concat | Alternate | Repeat | NotFollowedBy


class UntranslatableError(Exception):
    """Why a pattern has no exact translation."""
