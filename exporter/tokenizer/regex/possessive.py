"""Possessive quantifiers become greedy, where that changes nothing."""

from __future__ import annotations

from exporter.tokenizer.regex.automaton import Automaton
from exporter.tokenizer.regex.syntax import (
    UNBOUNDED,
    Alternate,
    Chars,
    Concat,
    Repeat,
    Syntax,
    UntranslatableError,
)


def made_greedy(syntax: Syntax, after: Syntax | None = None) -> Syntax:
    """The same language with greedy for possessive; ``after`` is what the pattern goes on with.

    ``x*+y`` equals ``x*y`` where y cannot begin with an x: a character given back would not be taken.
    """
    match syntax:
        case Concat(items):
            return Concat(
                tuple(
                    made_greedy(item, Concat((*items[i + 1 :], *([after] if after else []))))
                    for i, item in enumerate(items)
                )
            )
        case Alternate(arms):
            return Alternate(tuple(made_greedy(arm, after) for arm in arms))
        case Repeat(item, minimum, maximum, greedy, possessive):
            if maximum == UNBOUNDED and _matches_nothing(item):
                raise UntranslatableError("a repetition of what may be empty")
            if possessive and not _gives_nothing_back(item, after):
                raise UntranslatableError("a possessive quantifier that changes what matches")
            inner = made_greedy(item, Concat((Repeat(item, 0, 1), *([after] if after else []))))
            return Repeat(inner, minimum, maximum, greedy)
    return syntax


def _matches_nothing(syntax: Syntax) -> bool:
    """Whether the empty string matches."""
    automaton = Automaton(syntax)
    return automaton.accepts(automaton.start())


def _gives_nothing_back(item: Syntax, after: Syntax | None) -> bool:
    if not isinstance(item, Chars):
        return False
    return after is None or not (Automaton(after).first_characters() & item.members).any()
