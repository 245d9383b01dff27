"""Oniguruma patterns of real tokenizers -> RE2, exactly, or a refusal.

The two engines agree on leftmost, first-alternative, greedy matching. They differ in character classes,
look-around, possessive quantifiers and case folding; so

* every class becomes explicit ranges, asked of the library (``chars.regex_class``);
* a possessive quantifier becomes greedy where giving characters back could never help;
* ``\\s+(?!\\S)|\\s+`` (all white space but the last, if a word follows) becomes a cut: before matching, each
  white-space run is cut before its last character, and the two arms become ``\\s+``. ``_cut`` proves that no
  other arm would have matched across the cut, and that where it cuts nothing the look-ahead is never reached.

Worked example, with ``·`` for a space and ``|`` for the cut: ``a···b`` -> ``a··|·b`` -> ``a``,
``··``, ``·b``.

Source: Oniguruma doc/RE (Ruby syntax); https://github.com/google/re2/wiki/Syntax.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from exporter.errors import TokenizerUnsupportedError
from exporter.tokenizer import chars
from exporter.tokenizer.chars import CharSet

_UNBOUNDED = -1


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


class Translation(NamedTuple):
    """What the graph needs of a pattern.

    Attributes:
      pattern: RE2, without look-around; never matches the empty string.
      cut: RE2 with two groups; a cut belongs between them, before ``pattern`` is applied. Or None.
      total: whether every character starts a match, so that nothing is left between matches.
    """

    pattern: str
    cut: str | None
    total: bool


def translate(pattern: str, path: str) -> Translation:
    """Translates an Oniguruma pattern; TokenizerUnsupportedError names ``path`` where it cannot be exact."""
    try:
        syntax = _Parser(pattern).parse()
        arms = syntax.arms if isinstance(syntax, Alternate) else (syntax,)
        arms, cut = _lookahead(arms)
        arms = tuple(_greedy(arm) for arm in arms)
        automaton = _Automaton(Alternate(arms))
        if automaton.accepts(automaton.start()):
            raise _UntranslatableError("it matches the empty string")
        return Translation(
            pattern="|".join(_emit(arm) for arm in arms),
            cut=cut,
            total=_is_total(automaton),
        )
    except _UntranslatableError as problem:
        raise TokenizerUnsupportedError(path, f"regex {pattern!r}: {problem}") from None


def translate_literal(text: str) -> str:
    """RE2 for exactly this text."""
    return "".join(f"\\x{{{ord(character):x}}}" for character in text)


class _UntranslatableError(Exception):
    """Why a pattern has no exact translation."""


# --------------------------------------------------------------------------------------------- parsing

_ESCAPED_CLASS = re.compile(r"\\(?:[pP]\{\^?[\w ]+\}|[sSdDwWhH])")
_ESCAPED_CODE = re.compile(r"\\(?:x\{([0-9a-fA-F]+)\}|x([0-9a-fA-F]{1,2})|u([0-9a-fA-F]{4}))")
_ESCAPED_CONTROL = {"n": "\n", "r": "\r", "t": "\t", "f": "\f", "v": "\v", "a": "\a", "e": "\x1b"}
_INTERVAL = re.compile(r"\{(\d*)(,?)(\d*)\}")
_FLAGS = re.compile(r"\(\?(i|-i)?:")


class _Parser:
    """Recursive descent over the subset of Oniguruma that tokenizers use."""

    def __init__(self, pattern: str) -> None:
        self.text = pattern
        self.at = 0

    def parse(self) -> Syntax:
        syntax = self._alternatives(ignore_case=False)
        if self.at < len(self.text):
            raise _UntranslatableError(f"unbalanced ')' at {self.at}")
        return syntax

    def _peek(self, prefix: str) -> bool:
        return self.text.startswith(prefix, self.at)

    def _alternatives(self, ignore_case: bool) -> Syntax:
        arms = [self._sequence(ignore_case)]
        while self._peek("|"):
            self.at += 1
            arms.append(self._sequence(ignore_case))
        return arms[0] if len(arms) == 1 else Alternate(tuple(arms))

    def _sequence(self, ignore_case: bool) -> Syntax:
        items: list[Syntax] = []
        start = self.at
        while self.at < len(self.text) and not self._peek("|") and not self._peek(")"):
            items.append(self._quantified(self._atom(ignore_case)))
        if ignore_case:
            _refuse_multi_character_folds(self.text[start : self.at])
        return items[0] if len(items) == 1 else Concat(tuple(items))

    def _atom(self, ignore_case: bool) -> Syntax:
        if self._peek("("):
            return self._group(ignore_case)
        if self._peek("["):
            return self._class(self._bracket(), ignore_case)
        if self._peek("\\"):
            return self._escape(ignore_case)
        character = self.text[self.at]
        if character in "^$":
            raise _UntranslatableError(f"the anchor {character!r}")
        if character in "*+?":
            raise _UntranslatableError(f"a quantifier without an item at {self.at}")
        self.at += 1
        return self._class("." if character == "." else _literal(character), ignore_case)

    def _group(self, ignore_case: bool) -> Syntax:
        if self._peek("(?!"):
            self.at += 3
            item = self._alternatives(ignore_case)
            if not isinstance(item, Chars):
                raise _UntranslatableError("a look-ahead at more than one character")
            self._close()
            return NotFollowedBy(item.members)
        flags = _FLAGS.match(self.text, self.at)
        if flags:
            self.at = flags.end()
            ignore_case = {"i": True, "-i": False}.get(flags[1] or "", ignore_case)
        elif self._peek("(?"):
            raise _UntranslatableError(f"the group {self.text[self.at : self.at + 4]!r}")
        else:
            self.at += 1
        item = self._alternatives(ignore_case)
        self._close()
        return item

    def _close(self) -> None:
        if not self._peek(")"):
            raise _UntranslatableError("a group that is not closed")
        self.at += 1

    def _bracket(self) -> str:
        """The text of the bracket expression that starts here, nested ones included."""
        start, depth = self.at, 0
        while self.at < len(self.text):
            if self._peek("\\"):
                self.at += 1
            elif self._peek("["):
                depth += 1
            elif self._peek("]"):
                depth -= 1
            self.at += 1
            if depth == 0:
                return self.text[start : self.at]
        raise _UntranslatableError("a bracket that is not closed")

    def _escape(self, ignore_case: bool) -> Syntax:
        for form in (_ESCAPED_CLASS, _ESCAPED_CODE):
            match = form.match(self.text, self.at)
            if match:
                self.at = match.end()
                return self._class(match[0], ignore_case)
        following = self.text[self.at + 1 : self.at + 2]
        if not following or (following.isalnum() and following not in _ESCAPED_CONTROL):
            raise _UntranslatableError(f"the escape {self.text[self.at : self.at + 2]!r}")
        self.at += 2
        return self._class(_literal(_ESCAPED_CONTROL.get(following, following)), ignore_case)

    def _class(self, text: str, ignore_case: bool) -> Chars:
        try:
            members = chars.regex_class(text, ignore_case)
        except Exception as error:
            raise _UntranslatableError(f"the library refuses {text!r}: {error}") from None
        if not members.any():
            raise _UntranslatableError(f"{text!r} matches no character")
        return Chars(members)

    def _quantified(self, item: Syntax) -> Syntax:
        while self.at < len(self.text):
            bounds = self._bounds()
            if bounds is None:
                return item
            interval = self.text[self.at - 1] == "}"
            if isinstance(item, NotFollowedBy):
                raise _UntranslatableError("a repeated look-ahead")
            lazy = self._peek("?")
            # In Ruby syntax x{2}? is an optional x{2}, and x{2}+ a repetition of it.
            if lazy and interval:
                raise _UntranslatableError("a '?' after an interval")
            possessive = self._peek("+") and not interval
            self.at += lazy or possessive
            item = Repeat(item, *bounds, greedy=not lazy, possessive=possessive)
        return item

    def _bounds(self) -> tuple[int, int] | None:
        simple = {"*": (0, _UNBOUNDED), "+": (1, _UNBOUNDED), "?": (0, 1)}.get(self.text[self.at])
        if simple:
            self.at += 1
            return simple
        match = _INTERVAL.match(self.text, self.at)
        if not match or not (match[1] or match[3]):
            return None
        self.at = match.end()
        minimum = int(match[1] or 0)
        return minimum, (int(match[3]) if match[3] else _UNBOUNDED) if match[2] else minimum


def _literal(character: str) -> str:
    """The character as an Oniguruma pattern."""
    return f"\\x{{{ord(character):x}}}"


def _refuse_multi_character_folds(sequence: str) -> None:
    """Without case, Oniguruma lets one character match two (``ss`` matches ``ß``): refuse such texts."""
    for run in re.findall(r"[^\W\d_]{2,}", re.sub(r"\\.", " ", sequence)):
        for size in (2, 3):
            for start in range(len(run) - size + 1):
                if chars.regex_class(run[start : start + size], True)[0x80:].any():
                    raise _UntranslatableError(f"a single character equals {run!r} without case")


# -------------------------------------------------------------------------------------------- automaton


class _Automaton:
    """Thompson's construction; states are ints, edges carry a CharSet."""

    def __init__(self, syntax: Syntax) -> None:
        self.edges: dict[int, list[tuple[CharSet, int]]] = {}
        self.empty: dict[int, list[int]] = {}
        self.count = 0
        self.first = self._state()
        self.final = self._build(syntax, self.first)

    def _state(self) -> int:
        self.count += 1
        self.edges[self.count - 1], self.empty[self.count - 1] = [], []
        return self.count - 1

    def _build(self, syntax: Syntax, start: int) -> int:
        """Adds states after ``start``; returns the one in which ``syntax`` has been read."""
        match syntax:
            case Chars(members):
                end = self._state()
                self.edges[start].append((members, end))
            case Concat(items):
                end = start
                for item in items:
                    end = self._build(item, end)
            case Alternate(arms):
                end = self._state()
                for arm in arms:
                    branch = self._state()
                    self.empty[start].append(branch)
                    self.empty[self._build(arm, branch)].append(end)
            case Repeat(item, minimum, maximum):
                end = self._repeat(item, minimum, maximum, start)
            case NotFollowedBy():
                raise _UntranslatableError(
                    "a look-ahead other than '\\s+(?!\\S)|\\s+' as the last alternatives"
                )
        return end

    def _repeat(self, item: Syntax, minimum: int, maximum: int, start: int) -> int:
        for _ in range(minimum):
            start = self._build(item, start)
        end = self._state()
        self.empty[start].append(end)
        if maximum == _UNBOUNDED:
            loop = self._state()
            self.empty[start].append(loop)
            last = self._build(item, loop)
            self.empty[last] += [loop, end]
            return end
        for _ in range(maximum - minimum):
            start = self._build(item, start)
            self.empty[start].append(end)
        return end

    def closure(self, states: Iterator[int] | Sequence[int]) -> frozenset[int]:
        """These states and all that need no character to be reached."""
        found, todo = set(), list(states)
        while todo:
            state = todo.pop()
            if state not in found:
                found.add(state)
                todo += self.empty[state]
        return frozenset(found)

    def start(self) -> frozenset[int]:
        return self.closure([self.first])

    def accepts(self, states: frozenset[int]) -> bool:
        return self.final in states

    def leaving(self, states: frozenset[int]) -> Iterator[tuple[CharSet, int]]:
        """Every edge out of these states."""
        for state in states:
            yield from self.edges[state]

    def step(self, states: frozenset[int], character: int) -> frozenset[int]:
        """The states after one more character."""
        return self.closure([target for members, target in self.leaving(states) if members[character]])

    def first_characters(self) -> CharSet:
        """What a match may begin with."""
        return _union([members for members, _ in self.leaving(self.start())])


def _union(sets: Sequence[CharSet]) -> CharSet:
    return np.logical_or.reduce([np.zeros(chars.CODE_POINTS, np.bool_), *sets])


def _is_total(automaton: _Automaton) -> bool:
    """Whether each character alone is a match, whatever follows."""
    alone = [
        members
        for members, target in automaton.leaving(automaton.start())
        if automaton.accepts(automaton.closure([target]))
    ]
    return bool(not chars.complement(_union(alone)).any())


# --------------------------------------------------------------------- look-ahead and possessive forms


def _lookahead(arms: tuple[Syntax, ...]) -> tuple[tuple[Syntax, ...], str | None]:
    """``(..., W+(?!not W), W+)`` -> ``(..., W+)`` and its cut; other patterns pass unchanged."""
    white = _white_before_word(arms[-2]) if len(arms) > 2 else None
    if white is None or not _is_run_of(arms[-1], white):
        return arms, None
    others = arms[:-2]
    run = Repeat(Chars(white), 1, _UNBOUNDED)
    return (*others, run), _cut(tuple(_greedy(arm) for arm in others), white)


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
    automaton = _Automaton(Alternate(others))
    uncut = np.zeros_like(white)
    for state in range(automaton.count):
        for members, after_white in automaton.edges[state]:
            if (members & white).any():
                uncut |= _crossing(automaton, automaton.closure([after_white]), white)
    if not _always_matches(automaton, white, uncut):
        raise _UntranslatableError("its look-ahead cannot be separated from its other alternatives")
    if not (white & ~uncut).any():
        raise _UntranslatableError("its other alternatives match all white space")
    space, last, word = (chars.re2_class(s) for s in (white, white & ~uncut, chars.complement(white)))
    return f"({space})({last}{word})"


def _crossing(automaton: _Automaton, states: frozenset[int], white: CharSet) -> CharSet:
    """The white characters after which an arm may end or go on with a word."""
    crossing = np.zeros_like(white)
    for members, target in automaton.leaving(states):
        beyond = automaton.closure([target])
        if automaton.accepts(beyond) or any((after & ~white).any() for after, _ in automaton.leaving(beyond)):
            crossing |= members & white
    return crossing


def _always_matches(automaton: _Automaton, white: CharSet, uncut: CharSet) -> bool:
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


def _atoms(automaton: _Automaton, white: CharSet) -> list[CharSet]:
    """White space, parted into characters that no edge tells apart."""
    parts = [white]
    for edges in automaton.edges.values():
        for members, _ in edges:
            parts = [part for whole in parts for part in (whole & members, whole & ~members) if part.any()]
    return parts


def _greedy(syntax: Syntax, after: Syntax | None = None) -> Syntax:
    """The same language with greedy for possessive; ``after`` is what the pattern goes on with.

    ``x*+y`` equals ``x*y`` where y cannot begin with an x: a character given back would not be taken.
    """
    match syntax:
        case Concat(items):
            return Concat(
                tuple(
                    _greedy(item, Concat((*items[i + 1 :], *([after] if after else []))))
                    for i, item in enumerate(items)
                )
            )
        case Alternate(arms):
            return Alternate(tuple(_greedy(arm, after) for arm in arms))
        case Repeat(item, minimum, maximum, greedy, possessive):
            if maximum == _UNBOUNDED and _matches_nothing(item):
                raise _UntranslatableError("a repetition of what may be empty")
            if possessive and not _gives_nothing_back(item, after):
                raise _UntranslatableError("a possessive quantifier that changes what matches")
            inner = _greedy(item, Concat((Repeat(item, 0, 1), *([after] if after else []))))
            return Repeat(inner, minimum, maximum, greedy)
    return syntax


def _matches_nothing(syntax: Syntax) -> bool:
    """Whether the empty string matches."""
    automaton = _Automaton(syntax)
    return automaton.accepts(automaton.start())


def _gives_nothing_back(item: Syntax, after: Syntax | None) -> bool:
    if not isinstance(item, Chars):
        return False
    return after is None or not (_Automaton(after).first_characters() & item.members).any()


# --------------------------------------------------------------------------------------------- emitting


def _emit(syntax: Syntax) -> str:
    """RE2 text; every part is an atom, so that a quantifier may follow."""
    match syntax:
        case Chars(members):
            return chars.re2_class(members)
        case Concat(items):
            return "".join(
                f"(?:{_emit(item)})" if isinstance(item, Alternate) else _emit(item) for item in items
            )
        case Alternate(arms):
            return "|".join(_emit(arm) for arm in arms)
        case Repeat(item, minimum, maximum, greedy):
            body = _emit(item) if isinstance(item, Chars) else f"(?:{_emit(item)})"
            return f"{body}{_quantifier(minimum, maximum)}{'' if greedy else '?'}"
    raise _UntranslatableError("a look-ahead other than '\\s+(?!\\S)|\\s+' as the last alternatives")


def _quantifier(minimum: int, maximum: int) -> str:
    simple = {(0, _UNBOUNDED): "*", (1, _UNBOUNDED): "+", (0, 1): "?"}.get((minimum, maximum))
    return simple or f"{{{minimum},{'' if maximum == _UNBOUNDED else maximum}}}"
