"""The command line's reference: every verb with its arguments and flags, from the functions behind them."""

from __future__ import annotations

import inspect
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

from exporter.cli import app
from scripts.docs_site.tables import prose, table

_HEAD = """\
# Commands

Every verb of `genserve`, as `genserve VERB --help` shows it. Exit codes, and what `--json` prints, are in
[the command line](../command-line.md).
"""
_WORDS = {str: "text", int: "whole number", float: "number", Path: "path"}


class Parameter(NamedTuple):
    """An argument or a flag of a verb.

    Attributes:
      name: of the function's parameter.
      names: as they are typed: ``--dtype``, or ``MODEL`` of an argument.
      value: what it takes; empty for a switch.
      default: as shown.
      help: what it does.
      is_argument: whether it stands without a name.
    """

    name: str
    names: str
    value: str
    default: str
    help: str
    is_argument: bool


def verbs() -> dict[str, Any]:
    """Name -> the function behind it, in the order of ``genserve --help``."""
    shown = [command for command in app.registered_commands if not command.hidden]
    return {
        command.name or command.callback.__name__.replace("_", "-"): command.callback  # type: ignore[union-attr]
        for command in shown
    }


def parameters(function: Any) -> Iterator[Parameter]:
    """A verb's parameters, in their order."""
    hints = get_type_hints(function, include_extras=True)
    for name, parameter in inspect.signature(function).parameters.items():
        hint, info = get_args(hints[name])[:2] if get_origin(hints[name]) is Annotated else (None, None)
        if info is None:
            continue  # the context of the call
        is_argument = type(info).__name__ == "ArgumentInfo"
        # In Annotated, the first positional argument of Option is a name too.
        given = [part for part in (info.default, *(info.param_decls or ())) if isinstance(part, str)]
        flag = "--" + name.replace("_", "-")
        switch = f"{flag} / --no-{flag[2:]}" if _type(hint) is bool else flag
        names = [info.metavar or name.upper()] if is_argument else given or [switch]
        yield Parameter(
            name,
            ", ".join(f"`{part.replace('/', ' / ') if '/--' in part else part}`" for part in names),
            _value(hint, None if is_argument else info.metavar),
            _default(parameter.default),
            prose(info.help or ""),
            is_argument,
        )


def _type(hint: Any) -> Any:
    """``X | None`` -> X."""
    if get_origin(hint) in (Union, types.UnionType):
        return next(part for part in get_args(hint) if part is not type(None))
    return hint


def _value(hint: Any, metavar: str | None) -> str:
    inner = _type(hint)
    if metavar is not None:
        return f"`{metavar}`"
    if get_origin(inner) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(inner))
    if get_origin(inner) is list:
        return f"{_WORDS.get(get_args(inner)[0], 'value')}, repeatable"
    return "" if inner is bool else _WORDS.get(inner, "value")


def _default(value: Any) -> str:
    if value is inspect.Parameter.empty:
        return "needed"
    return "" if value is None or value is False else f"`{value}`"


def page() -> str:
    """The whole reference."""
    parts = [_HEAD]
    for name, function in verbs().items():
        found = list(parameters(function))
        arguments = " ".join(one.names.strip("`") for one in found if one.is_argument)
        parts.append(f"## `genserve {name}`\n\n{prose(inspect.getdoc(function) or '')}\n")
        parts.append(f"```\ngenserve {name} [OPTIONS] {arguments}".rstrip() + "\n```\n")
        rows = ((one.names, one.value, one.default, one.help) for one in found)
        parts.append(table(("", "takes", "default", "what it does"), rows))
    return "\n".join(parts)
