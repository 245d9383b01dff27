"""Oniguruma's text -> tree; what no tokenizer uses is refused."""

from __future__ import annotations

import re

from exporter.tokenizer import chars
from exporter.tokenizer.regex.syntax import (
    UNBOUNDED,
    Alternate,
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

_ESCAPED_CLASS = re.compile(r"\\(?:[pP]\{\^?[\w ]+\}|[sSdDwWhH])")
_ESCAPED_CODE = re.compile(r"\\(?:x\{([0-9a-fA-F]+)\}|x([0-9a-fA-F]{1,2})|u([0-9a-fA-F]{4}))")
_ESCAPED_CONTROL = {"n": "\n", "r": "\r", "t": "\t", "f": "\f", "v": "\v", "a": "\a", "e": "\x1b"}
_INTERVAL = re.compile(r"\{(\d*)(,?)(\d*)\}")
_FLAGS = re.compile(r"\(\?(i|-i)?:")


def parse(pattern: str) -> Syntax:
    """The tree of a pattern; UntranslatableError for what lies outside the subset."""
    return _Parser(pattern).parse()


class _Parser:
    """Recursive descent over the subset of Oniguruma that tokenizers use."""

    def __init__(self, pattern: str) -> None:
        self.text = pattern
        self.at = 0

    def parse(self) -> Syntax:
        syntax = self._alternatives(ignore_case=False)
        if self.at < len(self.text):
            raise UntranslatableError(f"unbalanced ')' at {self.at}")
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
        if character == "$":
            self.at += 1
            return LineEnd()
        if character == "^":
            raise UntranslatableError(f"the anchor {character!r}")
        if character in "*+?":
            raise UntranslatableError(f"a quantifier without an item at {self.at}")
        self.at += 1
        return self._class("." if character == "." else _literal(character), ignore_case)

    def _group(self, ignore_case: bool) -> Syntax:
        if self._peek("(?="):
            start, self.at = self.at, self.at + 3
            item = self._alternatives(ignore_case)
            self._close()
            return FollowedBy(item, self.text[start : self.at])
        if self._peek("(?!"):
            self.at += 3
            item = self._alternatives(ignore_case)
            if not isinstance(item, Chars):
                raise UntranslatableError("a look-ahead at more than one character")
            self._close()
            return NotFollowedBy(item.members)
        flags = _FLAGS.match(self.text, self.at)
        if flags:
            self.at = flags.end()
            ignore_case = {"i": True, "-i": False}.get(flags[1] or "", ignore_case)
        elif self._peek("(?"):
            raise UntranslatableError(f"the group {self.text[self.at : self.at + 4]!r}")
        else:
            self.at += 1
        item = self._alternatives(ignore_case)
        self._close()
        return item

    def _close(self) -> None:
        if not self._peek(")"):
            raise UntranslatableError("a group that is not closed")
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
        raise UntranslatableError("a bracket that is not closed")

    def _escape(self, ignore_case: bool) -> Syntax:
        if self._peek("\\b"):
            self.at += 2
            return WordBoundary()
        for form in (_ESCAPED_CLASS, _ESCAPED_CODE):
            match = form.match(self.text, self.at)
            if match:
                self.at = match.end()
                return self._class(match[0], ignore_case)
        following = self.text[self.at + 1 : self.at + 2]
        if not following or (following.isalnum() and following not in _ESCAPED_CONTROL):
            raise UntranslatableError(f"the escape {self.text[self.at : self.at + 2]!r}")
        self.at += 2
        return self._class(_literal(_ESCAPED_CONTROL.get(following, following)), ignore_case)

    def _class(self, text: str, ignore_case: bool) -> Chars:
        try:
            members = chars.regex_class(text, ignore_case)
        except Exception as error:
            raise UntranslatableError(f"the library refuses {text!r}: {error}") from None
        if not members.any():
            raise UntranslatableError(f"{text!r} matches no character")
        return Chars(members)

    def _quantified(self, item: Syntax) -> Syntax:
        while self.at < len(self.text):
            bounds = self._bounds()
            if bounds is None:
                return item
            interval = self.text[self.at - 1] == "}"
            if isinstance(item, NotFollowedBy | FollowedBy | LineEnd | WordBoundary):
                raise UntranslatableError("a repeated look-ahead or anchor")
            lazy = self._peek("?")
            # In Ruby syntax x{2}? is an optional x{2}, and x{2}+ a repetition of it.
            if lazy and interval:
                raise UntranslatableError("a '?' after an interval")
            possessive = self._peek("+") and not interval
            self.at += lazy or possessive
            item = Repeat(item, *bounds, greedy=not lazy, possessive=possessive)
        return item

    def _bounds(self) -> tuple[int, int] | None:
        simple = {"*": (0, UNBOUNDED), "+": (1, UNBOUNDED), "?": (0, 1)}.get(self.text[self.at])
        if simple:
            self.at += 1
            return simple
        match = _INTERVAL.match(self.text, self.at)
        if not match or not (match[1] or match[3]):
            return None
        self.at = match.end()
        minimum = int(match[1] or 0)
        return minimum, (int(match[3]) if match[3] else UNBOUNDED) if match[2] else minimum


def _literal(character: str) -> str:
    """The character as an Oniguruma pattern."""
    return f"\\x{{{ord(character):x}}}"


def _refuse_multi_character_folds(sequence: str) -> None:
    """Without case, Oniguruma lets one character match two (``ss`` matches ``ß``): refuse such texts."""
    for run in re.findall(r"[^\W\d_]{2,}", re.sub(r"\\.", " ", sequence)):
        for size in (2, 3):
            for start in range(len(run) - size + 1):
                if chars.regex_class(run[start : start + size], True)[0x80:].any():
                    raise UntranslatableError(f"a single character equals {run!r} without case")
