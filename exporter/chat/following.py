"""A sandbox that computes what the plain one does, and follows tracked texts through every step of it.

Jinja makes new strings in few places: output that is joined, ``~``, operators, filters, and calls. Each is
taken over here: it keeps what the text knows, or it is refused. Nothing else that a template does to strings
makes a text: tests, comparisons and look-ups answer from the string alone.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from jinja2 import nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.filters import make_attrgetter
from jinja2.runtime import Context

from exporter.chat.environment import Sandbox, tojson
from exporter.chat.tracked import ASKING, KEEPING, Tracked, any_tracked, refuse

#: Filters that answer with a number or with parts of their arguments, by what tracked texts do themselves.
_PASSING = {
    "attr", "batch", "d", "default", "dictsort", "first", "groupby", "items", "last",
    "list", "map", "max", "min", "random", "reject", "rejectattr", "reverse", "select", "selectattr", "slice",
    "sort", "sum", "unique",
}  # fmt: skip


class _Code(CodeGenerator):
    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:  # noqa: N802  # Jinja's name
        """``a ~ b``: joined by the environment instead of a function of Jinja's."""
        self.write("environment.concat([")
        for item in node.nodes:
            self.write("environment.finalize(")
            self.visit(item, frame)
            self.write("), ")
        self.write("])")

    def visit_Compare(self, node: nodes.Compare, frame: Frame) -> None:  # noqa: N802  # Jinja's name
        """``a in b``: a question to the environment, as a tracked text may be on either side."""
        if not any(operand.op in ("in", "notin") for operand in node.ops):
            return super().visit_Compare(node, frame)
        if len(node.ops) > 1:
            refuse("a chain of comparisons with 'in'")
        self.write("(not " if node.ops[0].op == "notin" else "(")
        self.write("environment.contains(")
        self.visit(node.ops[0].expr, frame)
        self.write(", ")
        self.visit(node.expr, frame)
        return self.write("))")


class Following(Sandbox):
    """The sandbox for one kind of tracked text."""

    code_generator_class = _Code
    intercepted_binops = frozenset({"%"})

    def __init__(self, kind: type[Tracked]) -> None:
        super().__init__()
        self.kind = kind
        own: dict[str, Callable[..., Any]] = {
            "capitalize": lambda s: self._text(s).capitalize(),
            "join": self._join,
            "length": _length,
            "count": _length,
            "lower": lambda s: self._text(s).lower(),
            "replace": self._replace,
            "string": self._text,
            "tojson": self._tojson,
            "trim": lambda value, chars=None: self._text(value).strip(chars),
            "upper": lambda s: self._text(s).upper(),
        }
        others = {
            name: self._refusing(name, function)
            for name, function in self.filters.items()
            if name not in _PASSING
        }
        numbers = {name: _counting(name, self.filters[name]) for name in ("int", "float", "wordcount")}
        self.filters.update(others | own | numbers)
        is_sequence: Any = self.tests["sequence"]
        self.tests["sequence"] = lambda value: isinstance(value, str) or is_sequence(value)
        self.tests["in"] = lambda value, seq: self.contains(seq, value)
        self.finalize = self._text

    def concat(self, texts: Iterable[str]) -> str:
        """What output, macros and blocks are joined with."""
        return self._joined(list(texts))

    def contains(self, container: Any, item: Any) -> bool:
        """``item in container``."""
        if isinstance(container, str) and any_tracked([container, item]):
            container = self.kind.lift(container)
        return item in container

    def call(self, context: Context, obj: Any, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        """A method of a string follows tracked texts, be the string or an argument one."""
        method = getattr(obj, "__wrapped__", obj)
        owner = getattr(method, "__self__", None)
        if isinstance(owner, str) and any_tracked([owner, args, kwargs]):
            if method.__name__ not in KEEPING | ASKING:
                refuse(f"'{method.__name__}'")
            obj = getattr(self.kind.lift(owner), method.__name__)
        return super().call(context, obj, *args, **kwargs)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if any_tracked([left, right]):
            refuse(f"'{operator}'")
        return super().call_binop(context, operator, left, right)

    def _joined(self, texts: list[str], between: str = "") -> str:
        if any_tracked([between, texts]):
            return self.kind.joined(texts, between)
        return between.join(texts)

    def _text(self, value: Any) -> str:
        """``str(value)``."""
        if isinstance(value, str):
            return value
        return self.kind.whole(str(value), "written as a list") if any_tracked(value) else str(value)

    def _tojson(self, value: Any, *args: Any, **kwargs: Any) -> str:
        text = tojson(value, *args, **kwargs)
        return self.kind.whole(text, "'tojson'") if any_tracked(value) else text

    def _join(self, value: Iterable[Any], d: str = "", attribute: str | int | None = None) -> str:
        if attribute is not None:
            value = map(make_attrgetter(self, attribute), value)
        return self._joined([self._text(item) for item in value], self._text(d))

    def _replace(self, s: Any, old: str, new: str, count: int | None = None) -> str:
        texts = [self._text(item) for item in (s, old, new)]
        text = self.kind.lift(texts[0]) if any_tracked(texts) else texts[0]
        return text.replace(texts[1], texts[2], -1 if count is None else count)

    def _refusing(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """A function that makes new strings; of tracked texts it is refused."""

        @functools.wraps(function)
        def checked(*args: Any, **kwargs: Any) -> Any:
            if any_tracked([_data(args), _data(kwargs)]):
                refuse(f"'{name}'")
            return function(*args, **kwargs)

        return checked


def _length(obj: Any) -> Any:
    return obj.length() if isinstance(obj, Tracked) else len(obj)


def _counting(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter that makes a number of a text."""

    @functools.wraps(function)
    def counted(value: Any, *args: Any, **kwargs: Any) -> Any:
        text = value.known(f"'{name}'") if isinstance(value, Tracked) else value
        return function(text, *args, **kwargs)

    return counted


def _data(arguments: Any) -> Any:
    """Without what Jinja itself passes."""
    values = arguments.values() if isinstance(arguments, Mapping) else arguments
    return [value for value in values if not isinstance(value, Context)]
