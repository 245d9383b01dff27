"""Regular expressions as trees: Python's own parser reads them, and ``re`` itself says what a class holds.

A pattern of a JSON Schema is ECMA-262's; validators in Python read it with ``re``. What the two read in
different ways is read as what both accept (``\\d`` as ASCII digits, ``$`` as the end alone), or refused.

Source: https://docs.python.org/3/library/re.html; https://tc39.es/ecma262/#sec-patterns.
"""

from __future__ import annotations

import re
import warnings
from functools import cache
from re import _constants as codes  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

from exporter.errors import OptionError, UnsupportedError
from exporter.guides import charsets
from exporter.guides.charsets import Ranges
from exporter.guides.syntax import UNBOUNDED, Chars, End, LastLineEnd, OneOf, Repeat, Sequence, Start, Syntax

_CATEGORIES = {
    codes.CATEGORY_DIGIT: r"\d",
    codes.CATEGORY_NOT_DIGIT: r"\D",
    codes.CATEGORY_SPACE: r"\s",
    codes.CATEGORY_NOT_SPACE: r"\S",
    codes.CATEGORY_WORD: r"\w",
    codes.CATEGORY_NOT_WORD: r"\W",
}
_KNOWN_FLAGS = re.UNICODE | re.ASCII | re.IGNORECASE | re.DOTALL | re.VERBOSE
# Line ends of ECMA-262, none of which its dot matches.
_LINE_ENDS = "\n\r\u2028\u2029"
# White space in ECMA-262 and not in Python.
_BYTE_ORDER_MARK = charsets.of("\ufeff")
# Escapes that ECMA-262 and Python read alike; what is no letter or digit stands for itself.
_SHARED_ESCAPE = re.compile(r"\\(?:[dDwWsStnrvfb0]|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|[^A-Za-z0-9_])")
_ECMA_ONLY = re.compile(r"\[\^?\]|\{,|\(\?(?!:)")


def parse(pattern: str, name: str) -> Syntax:
    """The tree of a Python pattern, to be matched in full; errors begin with ``name``."""
    return _Reader(pattern, name, ecma=False).tree()


def parse_search(pattern: str, name: str) -> Syntax:
    """The tree of all texts in which a JSON Schema's pattern is found."""
    _refuse_differences(pattern, name)
    anything = Repeat(Chars(charsets.ANY))
    return Sequence((anything, _Reader(pattern, name, ecma=True).tree(), anything))


def _refuse_differences(pattern: str, name: str) -> None:
    """UnsupportedError for what ECMA-262 and Python read as different things."""
    rest = _SHARED_ESCAPE.sub("x", pattern)
    escape = re.search(r"\\.?", rest, re.DOTALL)
    found = escape or _ECMA_ONLY.search(rest)
    if found:
        raise UnsupportedError(
            f"{name}: {pattern!r}: {found[0]!r} is not in the part that ECMA-262 and Python's re read alike"
        )


class _Reader:
    """One pattern.

    Attributes:
      ecma: whether it must hold for ECMA-262 too.
    """

    def __init__(self, pattern: str, name: str, *, ecma: bool) -> None:
        self.pattern, self.name, self.ecma = pattern, name, ecma

    def tree(self) -> Syntax:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                parsed = parser.parse(self.pattern)
        except (re.error, RecursionError, OverflowError, Warning) as error:
            problem = f"{self.pattern!r} is not a regular expression: {error}"
            raise OptionError(f"{self.name}: {problem}") from None
        flags = parsed.state.flags
        if flags & ~_KNOWN_FLAGS:
            raise self._refusal(f"the flags {re.RegexFlag(flags & ~_KNOWN_FLAGS)!r}")
        return self._items(parsed, flags)

    def _refusal(self, what: str) -> UnsupportedError:
        return UnsupportedError(f"{self.name}: {self.pattern!r}: {what} cannot be made a table")

    def _items(self, items: Any, flags: int) -> Syntax:
        read = tuple(self._item(code, value, flags) for code, value in items)
        return read[0] if len(read) == 1 else Sequence(read)

    def _item(self, code: Any, value: Any, flags: int) -> Syntax:
        if code is codes.BRANCH:
            return OneOf(tuple(self._items(arm, flags) for arm in value[1]))
        if code is codes.SUBPATTERN:
            _, added, removed, items = value
            if (added | removed) & ~_KNOWN_FLAGS:
                raise self._refusal("a group's flags")
            return self._items(items, (flags | added) & ~removed)
        # A lazy quantifier allows the same texts.
        if code in (codes.MAX_REPEAT, codes.MIN_REPEAT):
            minimum, maximum, items = value
            most = UNBOUNDED if maximum is codes.MAXREPEAT else int(maximum)
            return Repeat(self._items(items, flags), int(minimum), most)
        if code is codes.AT:
            return self._place(value)
        return Chars(self._members(code, value, flags))

    def _place(self, place: Any) -> Syntax:
        if place in (codes.AT_BEGINNING, codes.AT_BEGINNING_STRING):
            return Start()
        if place is codes.AT_END_STRING:
            return End()
        if place is codes.AT_END:
            return End() if self.ecma else LastLineEnd()
        raise self._refusal(f"the condition {str(place).removeprefix('AT_').lower()}")

    def _members(self, code: Any, value: Any, flags: int) -> Ranges:
        if code is codes.ANY:
            members = _class(".", flags & re.DOTALL)
            return charsets.difference(members, charsets.of(_LINE_ENDS)) if self.ecma else members
        if code in (codes.LITERAL, codes.NOT_LITERAL):
            negated = [(codes.NEGATE, None)] if code is codes.NOT_LITERAL else []
            return self._set([*negated, (codes.LITERAL, value)], flags)
        if code is codes.IN:
            return self._set(value, flags)
        raise self._refusal(str(code).lower().replace("_", " "))

    def _set(self, parts: list[tuple[Any, Any]], flags: int) -> Ranges:
        """A class; ``re`` is asked where it has an opinion on characters."""
        negated = parts[0][0] is codes.NEGATE
        listed = parts[negated:]
        if flags & re.IGNORECASE or any(code is codes.CATEGORY for code, _ in listed):
            return self._asked(f"[{''.join(map(self._part, parts))}]", flags)
        members = charsets.ranges(
            (value, value) if code is codes.LITERAL else (value[0], value[1]) for code, value in listed
        )
        return charsets.complement(members) if negated else members

    def _part(self, part: tuple[Any, Any]) -> str:
        """A part of a class as a pattern's text."""
        code, value = part
        if code is codes.NEGATE:
            return "^"
        if code is codes.RANGE:
            return f"{_literal(value[0])}-{_literal(value[1])}"
        return _CATEGORIES[value] if code is codes.CATEGORY else _literal(value)

    def _asked(self, text: str, flags: int) -> Ranges:
        if not self.ecma:
            return _class(text, flags & (re.ASCII | re.IGNORECASE))
        members = charsets.intersection(_class(text, re.ASCII), _class(text, 0))
        white = r"\s" in text or r"\S" in text
        return charsets.difference(members, _BYTE_ORDER_MARK) if white else members


def _literal(code_point: int) -> str:
    return f"\\U{code_point:08x}"


@cache
def _all_characters() -> str:
    return "".join("".join(map(chr, range(low, high + 1))) for low, high in charsets.ANY)


@cache
def _class(text: str, flags: int) -> Ranges:
    """The characters that a pattern of one character matches, asked one after the other."""
    found = re.finditer(f"(?:{text})+", _all_characters(), flags)
    return charsets.ranges((ord(run[0][0]), ord(run[0][-1])) for run in found)
