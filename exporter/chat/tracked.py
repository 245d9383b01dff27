"""Strings that a template's environment follows: what it must know of every kind of them.

Two kinds: ``marked.Marked`` (which characters people wrote) and ``unknown.Unknown`` (texts not known yet).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn, Self

from exporter.errors import UnsupportedError

#: Methods of strings that a kind follows: the result is of that kind, or a list or tuple of it.
KEEPING = frozenset(
    {
        "strip",
        "lstrip",
        "rstrip",
        "removeprefix",
        "removesuffix",
        "split",
        "rsplit",
        "splitlines",
        "partition",
    }
    | {"rpartition", "replace", "join", "lower", "upper", "title", "capitalize", "casefold", "swapcase"}
)
#: Methods of strings whose answer is no text.
ASKING = frozenset(
    {"count", "endswith", "find", "index", "rfind", "rindex", "startswith"}
    | {name for name in dir(str) if name.startswith("is")}
)


def refuse(what: str) -> NoReturn:
    """Where what people wrote can no longer be told apart."""
    raise UnsupportedError(
        f"the chat template applies {what} to a message's text: what people wrote can then not be told "
        "from the template's own words"
    )


class Tracked(str):
    """A string with more to it, which adding and joining keep."""

    __slots__ = ()

    @classmethod
    @abstractmethod
    def lift(cls, text: str) -> Self:
        """A text as one of this kind; a plain one is the template's own."""

    @classmethod
    @abstractmethod
    def whole(cls, text: str, why: str) -> Self:
        """The text that ``why`` makes of a structure with tracked texts in it."""

    @classmethod
    @abstractmethod
    def joined(cls, texts: Iterable[str], between: str = "") -> Self:
        """``between.join(texts)``."""

    @abstractmethod
    def known(self, why: str) -> str:
        """The text itself, for what answers with a number."""

    def length(self) -> Any:
        """What the filters ``length`` and ``count`` answer."""
        return len(self)

    def __str__(self) -> str:
        return self

    def __add__(self, other: str) -> Self:
        return self.joined((self, other)) if isinstance(other, str) else NotImplemented

    def __radd__(self, other: str) -> Self:
        return self.joined((other, self)) if isinstance(other, str) else NotImplemented

    def __mod__(self, values: Any) -> NoReturn:
        refuse("'%'")

    __rmod__ = __mod__

    def strip(self, chars: str | None = None, /) -> Any:
        return self.lstrip(chars).rstrip(chars)

    def join(self, texts: Iterable[str], /) -> Any:
        return self.joined(texts, self)


def any_tracked(value: Any) -> bool:
    """Whether a tracked text is anywhere in a value of JSON's kinds."""
    if isinstance(value, Mapping):
        return any(any_tracked(key) or any_tracked(item) for key, item in value.items())
    if isinstance(value, list | tuple | set | frozenset):
        return any(map(any_tracked, value))
    return isinstance(value, Tracked)


def mapped(value: Any, change: Any) -> Any:
    """A value of JSON's kinds with every text in it changed, keys too."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {mapped(key, change): mapped(item, change) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(mapped(item, change) for item in value)
    return value
