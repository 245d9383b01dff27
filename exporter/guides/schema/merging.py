"""Schemas that hold together -> alternatives of plain keywords, without ``$ref``, ``allOf`` and kin."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import unquote

from exporter.guides.schema import keywords
from exporter.guides.schema.keywords import refusal

TYPES = frozenset({"object", "array", "string", "number", "integer", "boolean", "null"})
_MOST_ALTERNATIVES = 256


class Located(NamedTuple):
    """A schema, where it stands, and the references that led there."""

    schema: Any
    path: str
    through: frozenset[str] = frozenset()

    def at(self, *steps: str | int) -> Located:
        """The schema below this one."""
        schema = self.schema
        for step in steps:
            schema = schema[step]
        escaped = "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in steps)
        return Located(schema, self.path + escaped, self.through)


Together = tuple[Located, ...]
"""Schemas that a value must all be valid by; none: any value."""


@dataclass(frozen=True)
class Plain:
    """One alternative. ``None`` or nothing: not said.

    Attributes:
      types: the types that a value may have; ``number`` never comes without ``integer``.
      intended: those of them that are written; without ``type`` those that the other keywords speak of.
      values: the only values, where they are listed.
      limits: the numbers of minimum, maxLength, ...
      patterns, formats: with where they stand.
      properties, rest: schemas of named properties and of all others; ``rest`` None: not said.
      prefix, items: schemas of the first items and of all others.
    """

    path: str = ""
    types: frozenset[str] = TYPES
    intended: frozenset[str] = TYPES
    values: tuple[Any, ...] | None = None
    limits: dict[str, Any] = field(default_factory=dict)
    patterns: tuple[tuple[str, str], ...] = ()
    formats: tuple[tuple[str, str], ...] = ()
    properties: dict[str, Together] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    rest: Together | None = None
    prefix: tuple[Together, ...] = ()
    items: Together = ()


class Document:
    """A schema and what its references name."""

    def __init__(self, root: Any, check_one_of: Callable[[Located], None]) -> None:
        """Takes the document, and what refuses a ``oneOf`` with arms that do not exclude each other."""
        self.root, self.check_one_of = root, check_one_of

    def alternatives(self, together: Together) -> tuple[Plain, ...]:
        """A value is valid by all of these schemas if and only if it is by one of the alternatives."""
        return self._product(self._of(located) for located in together)

    def _product(self, factors: Iterable[tuple[Plain, ...]]) -> tuple[Plain, ...]:
        merged: tuple[Plain, ...] = (Plain(),)
        for factor in factors:
            merged = tuple(both for one in merged for two in factor if (both := merge(one, two)).types)
            if len(merged) > _MOST_ALTERNATIVES:
                raise refusal(merged[0].path, f"more than {_MOST_ALTERNATIVES} combinations of alternatives")
        return merged

    def _of(self, located: Located) -> tuple[Plain, ...]:
        schema, path, _ = located
        if isinstance(schema, bool):
            return (Plain(path),) if schema else ()
        keywords.check(schema, path)
        factors: list[tuple[Plain, ...]] = [(_plain(located),)]
        if "$ref" in schema:
            factors.append(self._of(self.referred(located)))
        for number in range(len(schema.get("allOf", ()))):
            factors.append(self._of(located.at("allOf", number)))
        for word in ("anyOf", "oneOf"):
            if word in schema:
                if word == "oneOf":
                    self.check_one_of(located)
                arms = [self._of(located.at(word, number)) for number in range(len(schema[word]))]
                factors.append(tuple(plain for arm in arms for plain in arm))
        return self._product(factors)

    def referred(self, located: Located) -> Located:
        """What a schema's ``$ref`` names; refused where that is not in the document, or is around it."""
        reference, path = located.schema["$ref"], f"{located.path}/$ref"
        if not reference.startswith("#") or (reference != "#" and not reference.startswith("#/")):
            raise refusal(path, "allowed: a path in the same document, as '#/$defs/name'", reference)
        steps = [unquote(step).replace("~1", "/").replace("~0", "~") for step in reference.split("/")[1:]]
        if reference in located.through or reference == "#":
            raise refusal(path, "the schema is recursive, and a table has no memory of depth", reference)
        found = Located(self.root, "", located.through | {reference})
        for step in steps:
            try:
                found = found.at(int(step) if isinstance(found.schema, list) else step)
            except (LookupError, TypeError, ValueError):
                raise refusal(path, "the document has nothing there", reference) from None
        return found


def _plain(located: Located) -> Plain:
    """A schema's own keywords."""
    schema, path, _ = located
    values = schema.get("enum")
    if "const" in schema:
        values = [schema["const"]]
    numbers = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
    counts = tuple(f"{end}{what}" for end in ("min", "max") for what in ("Length", "Items", "Properties"))
    return Plain(
        path=path,
        types=_types(schema.get("type", TYPES)),
        intended=_types(schema.get("type", _spoken_of(schema))),
        values=None if values is None else tuple(values),
        limits={word: schema[word] for word in (*numbers, *counts, "multipleOf") if word in schema},
        patterns=((schema["pattern"], path),) if "pattern" in schema else (),
        formats=((schema["format"], path),) if "format" in schema else (),
        properties={name: (located.at("properties", name),) for name in schema.get("properties", ())},
        required=tuple(schema.get("required", ())),
        rest=(located.at("additionalProperties"),) if "additionalProperties" in schema else None,
        prefix=tuple((located.at("prefixItems", n),) for n in range(len(schema.get("prefixItems", ())))),
        items=(located.at("items"),) if "items" in schema else (),
    )


def _types(types: str | Collection[str]) -> frozenset[str]:
    named = frozenset([types] if isinstance(types, str) else types)
    return named | {"integer"} if "number" in named else named


def _spoken_of(schema: Mapping[str, Any]) -> Collection[str]:
    """The types that keywords speak of; all where no keyword speaks of one."""
    return [name for name, words in keywords.BY_TYPE.items() if schema.keys() & set(words)] or TYPES


def merge(one: Plain, two: Plain) -> Plain:
    """What holds where both do."""
    return Plain(
        path=two.path or one.path,
        types=one.types & two.types,
        intended=one.intended & two.intended,
        # Values are checked against everything that holds before they are written.
        values=two.values if one.values is None else one.values,
        limits=one.limits
        | two.limits
        | {word: _tighter(word, one, two) for word in one.limits.keys() & two.limits},
        patterns=one.patterns + tuple(pattern for pattern in two.patterns if pattern not in one.patterns),
        formats=one.formats + tuple(named for named in two.formats if named not in one.formats),
        properties={
            name: holding(one, name) + holding(two, name) for name in {**one.properties, **two.properties}
        },
        required=tuple(dict.fromkeys(one.required + two.required)),
        rest=one.rest if two.rest is None else two.rest if one.rest is None else one.rest + two.rest,
        prefix=tuple(item(one, n) + item(two, n) for n in range(max(len(one.prefix), len(two.prefix)))),
        items=one.items + two.items,
    )


def _tighter(word: str, one: Plain, two: Plain) -> Any:
    left, right = one.limits[word], two.limits[word]
    if word == "multipleOf":
        whole = left == int(left) and right == int(right)
        return math.lcm(int(left), int(right)) if whole else left if left != int(left) else right
    return max(left, right) if word.startswith(("min", "exclusiveMin")) else min(left, right)


def holding(plain: Plain, name: str) -> Together:
    """What a property of this name must be."""
    return plain.properties.get(name, plain.rest or ())


def item(plain: Plain, number: int) -> Together:
    """What an item in this place must be."""
    return plain.prefix[number] if number < len(plain.prefix) else plain.items
