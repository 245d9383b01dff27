"""``W+(?!not W)|W+`` becomes a cut."""

from __future__ import annotations

import numpy as np

from exporter.tokenizer import chars
from exporter.tokenizer.chars import CharSet
from exporter.tokenizer.regex.automaton import Automaton
from exporter.tokenizer.regex.possessive import made_greedy
from exporter.tokenizer.regex.syntax import (
    UNBOUNDED,
    Alternate,
    Chars,
    Concat,
    NotFollowedBy,
    Repeat,
    Syntax,
    UntranslatableError,
)


def without_lookahead(arms: tuple[Syntax, ...]) -> tuple[tuple[Syntax, ...], str | None]:
    """``(..., W+(?!not W), W+)`` -> ``(..., W+)`` and its cut; other patterns pass unchanged."""
    white = _white_before_word(arms[-2]) if len(arms) > 2 else None
    if white is None or not _is_run_of(arms[-1], white):
        return arms, None
    others = arms[:-2]
    run = Repeat(Chars(white), 1, UNBOUNDED)
    return (*others, run), _cut(tuple(made_greedy(arm) for arm in others), white)


def _white_before_word(arm: Syntax) -> CharSet | None:
    """W, where the arm is ``W+(?!not W)``."""
    match arm:
        case Concat((Repeat(Chars(white), 1, -1, True), NotFollowedBy(word))) if np.array_equal(
            chars.complement(white), word
        ):
            return white
    return None


def _is_run_of(arm: Syntax, white: CharSet) -> bool:
    """Whether the arm is ``W+`` or ``W``: after the look-ahead arm both match the one character left."""
    match arm:
        case Chars(members) | Repeat(Chars(members), 1, -1, True):
            return np.array_equal(members, white)
    return False


def _cut(others: tuple[Syntax, ...], white: CharSet) -> str:
    """Where white-space runs are cut, such that no arm of ``others`` would match across.

    The cut stands between white space and a white c that a word character follows. An arm crosses it only
    if it can read white, c, and then end or read a word character: such c (line ends, in most patterns) are
    not cut at. Then ``others`` must match before the look-ahead is tried in every run that ends in such a c.
    """
    automaton = Automaton(Alternate(others))
    uncut = np.zeros_like(white)
    for state in range(automaton.count):
        for members, after_white in automaton.edges[state]:
            if (members & white).any():
                uncut |= _crossing(automaton, automaton.closure([after_white]), white)
    if not _always_matches(automaton, white, uncut):
        raise UntranslatableError("its look-ahead cannot be separated from its other alternatives")
    if not (white & ~uncut).any():
        raise UntranslatableError("its other alternatives match all white space")
    space, last, word = (chars.re2_class(s) for s in (white, white & ~uncut, chars.complement(white)))
    return f"({space})({last}{word})"


def _crossing(automaton: Automaton, states: frozenset[int], white: CharSet) -> CharSet:
    """The white characters after which an arm may end or go on with a word."""
    crossing = np.zeros_like(white)
    for members, target in automaton.leaving(states):
        beyond = automaton.closure([target])
        if automaton.accepts(beyond) or any((after & ~white).any() for after, _ in automaton.leaving(beyond)):
            crossing |= members & white
    return crossing


def _always_matches(automaton: Automaton, white: CharSet, uncut: CharSet) -> bool:
    """Whether every white run of two or more that ends in ``uncut`` begins with a match."""
    if not uncut.any():
        return True
    letters = [int(np.flatnonzero(atom)[0]) for atom in _atoms(automaton, white)]
    todo, seen = [automaton.start()], set()
    while todo:
        states = todo.pop()
        for letter in letters:
            following = automaton.step(states, letter)
            if automaton.accepts(following) or following in seen:
                continue
            if any(not automaton.accepts(automaton.step(following, end)) for end in letters if uncut[end]):
                return False
            seen.add(following)
            todo.append(following)
    return True


def _atoms(automaton: Automaton, white: CharSet) -> list[CharSet]:
    """White space, parted into characters that no edge tells apart."""
    parts = [white]
    for edges in automaton.edges.values():
        for members, _ in edges:
            parts = [part for whole in parts for part in (whole & members, whole & ~members) if part.any()]
    return parts
