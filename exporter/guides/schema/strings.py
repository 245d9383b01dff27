"""JSON's strings: characters as ``json.dumps`` writes them, lengths, patterns and formats."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import reduce

from exporter.guides import charsets, patterns
from exporter.guides.automaton import machine_of
from exporter.guides.charsets import Ranges
from exporter.guides.machine import both, without
from exporter.guides.schema.formats import FORMATS
from exporter.guides.schema.keywords import refusal
from exporter.guides.schema.merging import Plain
from exporter.guides.syntax import (
    UNBOUNDED,
    Chars,
    Embedded,
    OneOf,
    Repeat,
    Sequence,
    Syntax,
    Text,
)

_ESCAPED = {character: json.dumps(character)[1:-1] for character in '"\\\n\r\t\b\f'}
# What stands for itself. Control characters without an escape of their own are not written.
_PLAIN = charsets.difference(charsets.ANY, charsets.ranges([(0, 0x1F), (0x22, 0x22), (0x5C, 0x5C)]))


def literal(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def character(members: Ranges) -> Syntax:
    """One character of a set, inside a string."""
    escaped = [
        Text(text) for char, text in _ESCAPED.items() if charsets.intersection(members, charsets.of(char))
    ]
    return OneOf((Chars(charsets.intersection(members, _PLAIN)), *escaped))


ANY_CHARACTER = character(charsets.ANY)
ANY_STRING = Sequence((Text('"'), Repeat(ANY_CHARACTER), Text('"')))


def escaped(syntax: Syntax) -> Syntax:
    """A pattern's tree, for text inside a string."""
    match syntax:
        case Chars(members):
            return character(members)
        case Sequence(items):
            return Sequence(tuple(map(escaped, items)))
        case OneOf(arms):
            return OneOf(tuple(map(escaped, arms)))
        case Repeat(item, minimum, maximum):
            return Repeat(escaped(item), minimum, maximum)
    return syntax


def string(plain: Plain, limit: int) -> Syntax:
    """The strings that an alternative allows."""
    minimum, maximum = plain.limits.get("minLength", 0), plain.limits.get("maxLength", UNBOUNDED)
    held = [
        patterns.parse_search(pattern, f"guided_json: {path}/pattern") for pattern, path in plain.patterns
    ]
    held += [_format(name, path) for name, path in plain.formats]
    if not held or minimum or maximum != UNBOUNDED:
        content = Repeat(ANY_CHARACTER, int(minimum), int(maximum))
        if maximum != UNBOUNDED and minimum > maximum:
            return OneOf(())
        if not held:
            return Sequence((Text('"'), content, Text('"')))
        held.append(content)
    machines = [machine_of(escaped(syntax), limit) for syntax in held]
    machine = reduce(lambda one, two: both(one, two, limit), machines)
    return Sequence((Text('"'), Embedded(machine), Text('"')))


def _format(name: str, path: str) -> Syntax:
    if name not in FORMATS:
        raise refusal(f"{path}/format", f"allowed: {', '.join(sorted(FORMATS))}", name)
    return patterns.parse(FORMATS[name], "guided_json")


def other_names(names: Iterable[str], limit: int) -> Syntax:
    """Every string but these, as names of further properties."""
    if not names:
        return ANY_STRING
    named = OneOf(tuple(Text(literal(name)) for name in names))
    return Embedded(without(machine_of(ANY_STRING, limit), machine_of(named, limit), limit))
