"""What an answer may be, as options say it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from exporter.errors import OptionError, UnsupportedError, shown

GuideKind = Literal["regex", "choice", "json", "grammar"]
KINDS: tuple[str, ...] = get_args(GuideKind)


@dataclass(frozen=True)
class Guide:
    """A language that answers are held to; hashable.

    Attributes:
      kind: ``regex``: the answer matches, as by ``re.fullmatch``; ``choice``: it is one of these texts;
        ``json``: it is JSON that is valid by a schema (draft 2020-12).
      source: a pattern; texts; a schema, given as a dict, a boolean or its JSON text and kept as JSON text.
      depth: how deep objects and arrays nest where a schema allows any value.
      spaced: whether JSON has a space behind ``,`` and ``:``, as ``json.dumps`` writes it.
    """

    kind: GuideKind
    source: Any
    depth: int = 3
    spaced: bool = True

    def __post_init__(self) -> None:
        if self.kind == "grammar":
            raise UnsupportedError(
                "guided_grammar: grammars nest without end, and a table has so many states as it has; "
                "allowed: guided_regex, guided_choice, guided_json"
            )
        if self.kind not in KINDS:
            raise OptionError(f"guide: kind {shown(self.kind)}; allowed: regex, choice, json")
        if self.depth not in range(1, 11):
            raise OptionError(f"{self.name}: depth {shown(self.depth)}; allowed: 1 to 10")
        read = {"regex": _pattern, "choice": _texts, "json": _schema}[self.kind]
        object.__setattr__(self, "source", read(self.source))
        try:
            "".join(self.source).encode()
        except UnicodeEncodeError as problem:
            raise OptionError(
                f"{self.name}: {shown(self.source)} holds half a character: {problem}"
            ) from None

    @property
    def name(self) -> str:
        """The option that such a guide is given by."""
        return f"guided_{self.kind}"

    @property
    def schema(self) -> Any:
        """The schema of a ``json`` guide, parsed; new at each call."""
        return json.loads(self.source)


def _pattern(source: Any) -> str:
    if not isinstance(source, str):
        raise OptionError(f"guided_regex: {shown(source)}; allowed: a regular expression")
    return source


def _texts(source: Any) -> tuple[str, ...]:
    listed = isinstance(source, Sequence) and not isinstance(source, str | bytes)
    if not listed or not source or not all(isinstance(text, str) for text in source):
        raise OptionError(f"guided_choice: {shown(source)}; allowed: a list of one or more texts")
    return tuple(source)


def _schema(source: Any) -> str:
    if isinstance(source, str):
        try:
            source = json.loads(source)
        except ValueError as problem:
            raise OptionError(f"guided_json: {shown(source)} is not JSON: {problem}") from None
    if not isinstance(source, Mapping | bool):
        raise OptionError(f"guided_json: {shown(source)}; allowed: a JSON Schema (an object, true or false)")
    try:
        return json.dumps(source, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as problem:
        raise OptionError(f"guided_json: {shown(source)} cannot be written as JSON: {problem}") from None
