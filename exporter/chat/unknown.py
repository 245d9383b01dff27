"""Texts that are not known yet: a template runs on them once for every answer to what it asks of them.

``Unknown`` is a string of pieces, literals and fields. Adding, joining and stripping keep the pieces; a
question that the pieces do not decide ("does it begin with ...", "is it empty") is put to ``Paths``, which
runs the template again for the other answer. What every path agrees on holds for every text. Anything else
that a template does to an unknown text is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any, Literal, NoReturn

from exporter.chat.tracked import ASKING, KEEPING, Tracked
from exporter.errors import UnsupportedError, shown

Side = Literal["left", "right", "both"]
_MOST_PATHS = 256


@dataclass(frozen=True)
class Strip:
    """``str.strip``, ``lstrip`` or ``rstrip``; of ``parts.WHITE_SPACE`` where chars is None."""

    side: Side
    chars: str | None = None

    def of(self, text: str) -> str:
        text = text.lstrip(self.chars) if self.side != "right" else text
        return text.rstrip(self.chars) if self.side != "left" else text


@dataclass(frozen=True)
class Field:
    """Where a text goes in a prompt, and what is done to it first, in this order."""

    name: str
    strips: tuple[Strip, ...] = ()

    def of(self, text: str) -> str:
        for strip in self.strips:
            text = strip.of(text)
        return text

    def stripped(self, side: Side, chars: str | None) -> Field:
        *before, last = self.strips or (None,)
        if last is None or last.chars != chars:
            return replace(self, strips=(*self.strips, Strip(side, chars)))
        both = last.side if last.side == side else "both"
        return replace(self, strips=(*before, Strip(both, chars)))

    def __str__(self) -> str:
        return f"the {self.name} text" + (", stripped" if self.strips else "")


Pieces = tuple[str | Field, ...]


@dataclass(frozen=True)
class Question:
    """What a template asks of a text: "is it empty" of a field, or ``asked`` with an argument of pieces."""

    asked: str
    pieces: Pieces
    argument: str = ""

    def holds(self, texts: Mapping[str, str]) -> bool:
        """The answer for texts by field names."""
        text = filled(self.pieces, texts)
        return {
            EMPTY: not text,
            BEGINS: text.startswith(self.argument),
            ENDS: text.endswith(self.argument),
            CONTAINS: self.argument in text,
            EQUALS: text == self.argument,
        }[self.asked]

    def __str__(self) -> str:
        fields = " and ".join(str(piece) for piece in self.pieces if isinstance(piece, Field))
        return f"{fields} {self.asked}" + (f" {shown(self.argument)}" if self.argument else "")


#: What is asked.
EMPTY, BEGINS, ENDS, CONTAINS, EQUALS = "is empty", "begins with", "ends with", "contains", "is"


def filled(pieces: Pieces, texts: Mapping[str, str]) -> str:
    """The pieces with texts by field names."""
    return "".join(piece if isinstance(piece, str) else piece.of(texts[piece.name]) for piece in pieces)


class Paths:
    """Every way through a template, one per series of answers; each question is answered no first."""

    def __init__(self, known: dict[Question, bool]) -> None:
        self._known, self._script = known, list[bool]()
        self.answers: dict[Question, bool] = {}

    def ask(self, question: Question) -> bool:
        if (known := self._known.get(question)) is not None:
            return known
        if question not in self.answers:
            place = len(self.answers)
            self.answers[question] = self._script[place] if place < len(self._script) else False
        return self.answers[question]

    def each(self, run: Callable[[], Any]) -> Iterator[tuple[dict[Question, bool], Any]]:
        """(answers, what ``run`` returned) of every path.

        Raises:
          UnsupportedError: there are too many.
        """
        for _ in range(_MOST_PATHS):
            self.answers = {}
            token = _paths.set(self)
            try:
                result = run()
            finally:
                _paths.reset(token)
            yield self.answers, result
            script = list(self.answers.values())
            while script and script[-1]:
                script.pop()
            if not script:
                return
            self._script = [*script[:-1], True]
        raise UnsupportedError(
            f"the chat template asks too much of a message's text: more than {_MOST_PATHS} ways through it"
        )


_paths: ContextVar[Paths] = ContextVar("paths")


class Unknown(Tracked):
    """A text of literals and fields; as a string, fields are marks that no template writes."""

    __slots__ = ("pieces",)
    pieces: Pieces

    def __new__(cls, pieces: Iterable[str | Field]) -> Unknown:
        merged: list[str | Field] = []
        for piece in pieces:
            if isinstance(piece, str) and merged and isinstance(merged[-1], str):
                merged[-1] += piece
            elif piece != "":
                merged.append(piece)
        self = super().__new__(cls, "".join(map(_shown, merged)))
        self.pieces = tuple(merged)
        return self

    @classmethod
    def lift(cls, text: str) -> Unknown:
        return text if isinstance(text, cls) else cls([text])

    @classmethod
    def whole(cls, text: str, why: str) -> NoReturn:
        _depends(why)

    @classmethod
    def joined(cls, texts: Iterable[str], between: str = "") -> Unknown:
        middle, pieces = cls.lift(between).pieces, list[str | Field]()
        for place, text in enumerate(texts):
            pieces += [*(middle if place else ()), *cls.lift(text).pieces]
        return cls(pieces)

    def known(self, why: str) -> str:
        """The text, where there is no field in it."""
        if any(isinstance(piece, Field) for piece in self.pieces):
            _depends(why)
        return "".join(map(str, self.pieces))

    def length(self) -> Any:
        return _Length(self)

    def lstrip(self, chars: str | None = None, /) -> Unknown:
        return Unknown(_stripped(list(self.pieces), "left", _chars(chars)))

    def rstrip(self, chars: str | None = None, /) -> Unknown:
        return Unknown(_stripped(list(self.pieces), "right", _chars(chars)))

    def startswith(self, prefix: Any, *place: Any) -> bool:
        return self._ends(prefix, place, 0, BEGINS, str.startswith)

    def endswith(self, suffix: Any, *place: Any) -> bool:
        return self._ends(suffix, place, -1, ENDS, str.endswith)

    def __contains__(self, text: object) -> bool:
        part = _chars(text) if isinstance(text, str) else None
        if part is None:
            raise TypeError("'in <string>' requires string as left operand")
        if any(isinstance(piece, str) and part in piece for piece in self.pieces):
            return True
        return self._ask(CONTAINS, part)

    def __bool__(self) -> bool:
        if any(isinstance(piece, str) for piece in self.pieces):
            return True
        return any(not _is_empty(piece) for piece in self.pieces if isinstance(piece, Field))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, str):
            return False
        if self.pieces == self.lift(other).pieces:
            return True
        return not self if other == "" else self._ask(EQUALS, _chars(other))

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(self.known("a look-up"))

    def __len__(self) -> int:
        return len(self.known("'length'"))

    def __iter__(self) -> Iterator[str]:
        yield from self.known("a loop over its characters")

    def __getitem__(self, key: Any) -> str:
        return self.known("a cut at some character")[key]

    def __mul__(self, count: Any) -> Unknown:
        return self.joined([self] * count)

    __rmul__ = __mul__

    def _ask(self, asked: str, argument: str) -> bool:
        if all(isinstance(piece, str) for piece in self.pieces):
            text = self.known(asked)
            return text == argument if asked == EQUALS else argument in text
        return _paths.get().ask(Question(asked, self.pieces, argument))

    def _ends(self, ends: Any, place: Any, end: int, asked: str, decide: Callable[[str, str], bool]) -> bool:
        if place:
            return decide(self.known(f"'{decide.__name__}' at a place"), ends, *place)
        if isinstance(ends, tuple):
            return any(self._ends(one, place, end, asked, decide) for one in ends)
        argument, piece = _chars(ends), self.pieces[end] if self.pieces else ""
        if isinstance(piece, str) and (len(self.pieces) < 2 or len(piece) >= len(argument)):
            return decide(piece, argument)
        return _paths.get().ask(Question(asked, self.pieces, argument))


class _Length:
    """Of an unknown text: whether it is 0 can be asked, and nothing else."""

    def __init__(self, text: Unknown) -> None:
        self._text = text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return not self._text if other == 0 else self._number() == other

    def __gt__(self, other: int) -> bool:
        return bool(self._text) if other == 0 else self._number() > other

    def __ge__(self, other: int) -> bool:
        return bool(self._text) if other == 1 else self._number() >= other

    def __lt__(self, other: int) -> bool:
        return not self >= other

    def __le__(self, other: int) -> bool:
        return not self > other

    def __hash__(self) -> int:
        return hash(self._number())

    def __str__(self) -> str:
        return str(self._number())

    def __index__(self) -> int:
        return self._number()

    def _number(self) -> int:
        return len(self._text)


def _refusing(name: str) -> Callable[..., Any]:
    def method(self: Unknown, *args: Any, **kwargs: Any) -> Any:
        return getattr(self.known(f"'{name}'"), name)(*map(_chars, args), **kwargs)

    method.__name__ = name
    return method


for _name in (KEEPING | ASKING) - vars(Unknown).keys() - vars(Tracked).keys():
    setattr(Unknown, _name, _refusing(_name))
for _name in ("__lt__", "__le__", "__gt__", "__ge__"):
    setattr(Unknown, _name, _refusing(_name))


def _stripped(pieces: list[str | Field], side: Side, chars: str | None) -> list[str | Field]:
    """From one side on: what is empty then makes way for its neighbour."""
    place = 0 if side == "left" else -1
    while pieces:
        piece = pieces[place]
        if isinstance(piece, Field):
            piece = piece.stripped(side, chars)
            gone = len(pieces) > 1 and _is_empty(piece)
        else:
            piece = Strip(side, chars).of(piece)
            gone = not piece
        if not gone:
            pieces[place] = piece
            break
        pieces.pop(place)
    return pieces


def _is_empty(field: Field) -> bool:
    return _paths.get().ask(Question(EMPTY, (field,)))


def _shown(piece: str | Field) -> str:
    return piece if isinstance(piece, str) else f"\ufdd0{piece.name}\ufdd1"


def _chars(text: Any) -> Any:
    """An argument, which must be known."""
    return text.known("a comparison with another text") if isinstance(text, Unknown) else text


def _depends(how: str) -> NoReturn:
    raise UnsupportedError(
        f"the chat template's words depend on a message's text by {how}, which a graph cannot reproduce"
    )
