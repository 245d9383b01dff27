"""The sandbox that chat templates run in: exactly the reference's, and one that follows tracked texts.

Source: ``_cached_compile_jinja_template`` of transformers 5 (utils/chat_template_utils.py): an immutable
sandbox with trimmed blocks, loop controls, the tag ``generation``, and its own ``tojson``,
``raise_exception``, ``strftime_now``, ``dict`` and ``namespace``.
"""

from __future__ import annotations

import json
from datetime import datetime
from functools import lru_cache
from typing import Any, NoReturn

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

from exporter.chat.tracked import Tracked, refuse
from exporter.errors import CheckpointError

#: The variable that says which moment ``strftime_now`` formats, in ISO 8601; without it, now.
MOMENT = "strftime_now"


class Sandbox(ImmutableSandboxedEnvironment):
    """What transformers renders chat templates in."""

    def __init__(self) -> None:
        super().__init__(trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols])
        self.filters["tojson"] = tojson
        self.globals.update(
            raise_exception=_raise_exception,
            strftime_now=_strftime_now,
            dict=_Dictionary(),
            namespace=_Namespace,
        )


def compiled(environment: jinja2.Environment, source: str) -> jinja2.Template:
    """A template of an environment.

    Raises:
      CheckpointError: no Jinja, with the line.
    """
    try:
        return environment.from_string(source)
    except jinja2.TemplateSyntaxError as error:
        raise CheckpointError(
            f"the chat template cannot be read: line {error.lineno}: {error.message}"
        ) from error


@lru_cache(maxsize=64)
def plain(source: str) -> jinja2.Template:
    """A template as transformers renders it; raises as ``compiled`` does."""
    return compiled(Sandbox(), source)


def clock(moment: str) -> Any:
    """``strftime_now`` of one moment; ValueError where it is not ISO 8601."""
    then = datetime.fromisoformat(moment)
    return lambda format: _formatted(then, format)


def tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """JSON without the escapes for HTML that Jinja's own filter adds."""
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _raise_exception(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _strftime_now(format: str) -> str:  # templates may name the argument
    return _formatted(datetime.now(), format)


def _formatted(moment: datetime, format: str) -> str:
    if isinstance(format, Tracked):
        refuse("'strftime_now'")
    return moment.strftime(format)


class _Dictionary:
    """``dict``, without the attributes of a class."""

    def __call__(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        return dict(*args, **kwargs)

    def fromkeys(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        return dict.fromkeys(*args, **kwargs)


class _Namespace(Namespace):
    """``namespace``, without names that begin with an underscore."""

    def __init__(*args: Any, **kwargs: Any) -> None:
        self, rest = args[0], args[1:]
        values = dict(*rest, **kwargs)
        for name in values:
            _check_name(name)
        Namespace.__init__(self, values)

    def __setitem__(self, name: str, value: Any) -> None:
        _check_name(name)
        super().__setitem__(name, value)


def _check_name(name: Any) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise jinja2.exceptions.SecurityError(f"a namespace cannot hold {name!r}: it begins with '_'")


class _Generation(Extension):
    """``{% generation %}...{% endgeneration %}`` marks what the model wrote, for training: its body stays."""

    tags = {"generation"}  # noqa: RUF012  # as Jinja declares it

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    def _body(self, caller: Any) -> str:
        return caller()  # type: ignore[no-any-return]
