"""Patterns of one look-ahead or anchor, read as what they are: rules about runs of one class.

RE2 has neither, but each of these says something of a whole run of characters (white space, digits), from its
first to its last, and of what stands behind it. With W a class and n a number:

    W+$                      the run, if the text ends with it; or up to its last line end, which stays
    W+(?!not W)              the run without its last character; all of it where the text ends
    W{n}(?!not W)            blocks of n from the front of that
    W{1,n}(?=(?:W{n})*\\b)    the run in groups of n, counted from its end; only before a non-word
    (?=(W{n})+(?!W))         the places, and nothing else, where such a group begins, but for a shorter first

Worked example, n = 3: the last but one parts ``1234567`` into ``1``, ``234`` and ``567``; the last has two
places in it.
Proof that no other match exists: each begins in the run (W is not optional), the earliest start wins, and
greedy matching tries the longest first. ``$`` is Ruby's, before every line end.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np

from exporter.tokenizer import chars
from exporter.tokenizer.chars import CharSet
from exporter.tokenizer.regex.syntax import (
    UNBOUNDED,
    Chars,
    Concat,
    FollowedBy,
    LineEnd,
    NotFollowedBy,
    Repeat,
    Syntax,
    UntranslatableError,
    WordBoundary,
)


class RunKind(Enum):
    """What of a run matches."""

    LINE_END = "to a line end"
    ALL_BUT_LAST = "all but its last character"
    BLOCKS = "blocks from the front"
    GROUPS = "groups from the end"
    GROUP_PLACES = "the places of groups from the end"


@dataclass(frozen=True, eq=False)
class Runs:
    """A rule.

    Attributes:
      members: the run's class.
      size: of blocks and groups.
      not_before: what may not stand behind the run; None allows everything.
    """

    kind: RunKind
    members: CharSet
    size: int = 1
    not_before: CharSet | None = None


def as_runs(pattern: Syntax) -> Runs | None:
    """The rule that a whole pattern is; None for any other pattern."""
    match pattern:
        case Concat((Repeat(Chars(members), 1, maximum, True, False), LineEnd())) if maximum == UNBOUNDED:
            return Runs(RunKind.LINE_END, members)
        case Concat((Repeat(Chars(members), minimum, maximum, True, False), NotFollowedBy(word))):
            return _before_no_word(members, minimum, maximum, word)
        case Concat((Repeat(Chars(members), 1, size, True, False), FollowedBy(Concat((groups, behind))))):
            if _is_groups(groups, members, size, minimum=0):
                return Runs(RunKind.GROUPS, members, size, _not_before(behind, members))
        case FollowedBy(Concat((Repeat(Repeat(_, size)) as groups, behind))):
            if _is_groups(groups, members := _class_of(groups), size, minimum=1):
                return Runs(RunKind.GROUP_PLACES, members, size, _not_before(behind, members))
    return None


def _before_no_word(members: CharSet, minimum: int, maximum: int, word: CharSet) -> Runs | None:
    if not np.array_equal(chars.complement(members), word):
        return None
    if (minimum, maximum) == (1, UNBOUNDED):
        return Runs(RunKind.ALL_BUT_LAST, members)
    return Runs(RunKind.BLOCKS, members, minimum) if minimum == maximum > 0 else None


def _is_groups(groups: Syntax, members: CharSet, size: int, minimum: int) -> bool:
    """Whether this is ``(W{size})*``, or ``+`` for a minimum of 1."""
    match groups:
        case Repeat(Repeat(Chars(found), low, high), least, most, True, False):
            same = np.array_equal(found, members) and low == high == size > 0
            return same and (least, most) == (minimum, UNBOUNDED)
    return False


def _class_of(groups: Repeat) -> CharSet:
    match groups:
        case Repeat(Repeat(Chars(members))):
            return members
    return chars.charset([])


def _not_before(behind: Syntax, members: CharSet) -> CharSet | None:
    """What may not follow the run: for a word boundary a word character, for ``(?!W)`` anything may."""
    match behind:
        case NotFollowedBy(word) if np.array_equal(word, members):
            return None
        case WordBoundary():
            word = chars.regex_class(r"\w")
            if not (members & ~word).any():
                return word
    raise UntranslatableError("groups that end neither at a word boundary nor at the end of the run")
