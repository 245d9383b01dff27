"""Languages as trees: what a guide allows, before it becomes an automaton.

Characters are Unicode scalar values, as ranges; an automaton (``automaton``) reads their UTF-8.
"""

from __future__ import annotations

from dataclasses import dataclass

from exporter.guides.charsets import Ranges
from exporter.guides.machine import Machine

UNBOUNDED = -1


@dataclass(frozen=True)
class Chars:
    """One character of a set."""

    members: Ranges


@dataclass(frozen=True)
class Text:
    """Exactly this text."""

    text: str


@dataclass(frozen=True)
class Sequence:
    items: tuple[Syntax, ...]


@dataclass(frozen=True)
class OneOf:
    """Any of these; none of none."""

    arms: tuple[Syntax, ...]


@dataclass(frozen=True)
class Repeat:
    """``minimum`` to ``maximum`` times, ``separator`` between; ``maximum`` UNBOUNDED: without end."""

    item: Syntax
    minimum: int = 0
    maximum: int = UNBOUNDED
    separator: str = ""


@dataclass(frozen=True)
class Member:
    """An item of a ``Listing``; ``repeated`` ones come any number of times and count each time."""

    item: Syntax
    required: bool
    repeated: bool = False


@dataclass(frozen=True)
class Listing:
    """Members in their order, optional ones left out or not, ``separator`` between those that are there.

    ``minimum`` and ``maximum``: how many are there; a repeated one counts once for the minimum.
    """

    members: tuple[Member, ...]
    separator: str
    minimum: int = 0
    maximum: int = UNBOUNDED


@dataclass(frozen=True)
class Start:
    """The start of the text, as a condition."""


@dataclass(frozen=True)
class End:
    """The end of the text, as a condition."""


@dataclass(frozen=True)
class LastLineEnd:
    """Python's ``$``, as a condition: the end of the text, or a line end there that is still to be read."""


@dataclass(frozen=True, eq=False)
class Embedded:
    """A language that is an automaton already."""

    machine: Machine


Syntax = Chars | Text | Sequence | OneOf | Repeat | Listing | Start | End | LastLineEnd | Embedded

EMPTY = Sequence(())


def optional(item: Syntax) -> Syntax:
    """The item or nothing."""
    return Repeat(item, 0, 1)
