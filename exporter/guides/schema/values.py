"""Alternatives of plain keywords -> trees of JSON texts."""

from __future__ import annotations

import json
from typing import Any

from exporter.errors import OptionError
from exporter.guides.automaton import machine_of
from exporter.guides.guide import Guide
from exporter.guides.machine import both
from exporter.guides.schema import numbers, strings
from exporter.guides.schema.disjoint import check_one_of
from exporter.guides.schema.keywords import ANNOTATIONS, refusal
from exporter.guides.schema.merging import Document, Located, Plain, Together, holding, item
from exporter.guides.syntax import (
    EMPTY,
    UNBOUNDED,
    Embedded,
    Listing,
    Member,
    OneOf,
    Repeat,
    Sequence,
    Syntax,
    Text,
    optional,
)

_MOST_DIVISOR = 1000
_NOTHING = OneOf(())


def syntax_of(guide: Guide, limit: int) -> Syntax:
    """The texts that a ``json`` guide allows."""
    return _Writer(guide, limit).value((Located(guide.schema, ""),), guide.depth)


def _validator(schema: Any) -> Any:
    """A validator of the schema, which itself must be a schema."""
    import jsonschema

    try:
        jsonschema.Draft202012Validator.check_schema(schema, jsonschema.FormatChecker(()))
    except jsonschema.SchemaError as problem:
        path = "".join(f"/{step}" for step in problem.absolute_path)
        raise OptionError(f"guided_json: {path or '/'}: {problem.message}") from None
    return jsonschema.Draft202012Validator(schema)


class _Writer:
    """Writes values; one per guide."""

    def __init__(self, guide: Guide, limit: int) -> None:
        self.limit, self.depth = limit, guide.depth
        self.comma, self.colon = (", ", ": ") if guide.spaced else (",", ":")
        self.validator = _validator(guide.schema)
        self.document = Document(
            guide.schema, lambda located: check_one_of(self.document, self.valid, located)
        )

    def valid(self, together: Together, value: Any) -> bool:
        return all(self.validator.evolve(schema=located.schema).is_valid(value) for located in together)

    def value(self, together: Together, free: int) -> Syntax:
        """Values that are valid by all of these; ``free``: how deep a value nests that may be any."""
        if _says_nothing(together):
            return self.anything(free)
        return OneOf(
            tuple(self.alternative(plain, together, free) for plain in self.document.alternatives(together))
        )

    def anything(self, free: int) -> Syntax:
        plain = Plain()
        scalars = (self.of_type(name, plain, 0) for name in ("string", "number", "boolean", "null"))
        nested = (self.of_type(name, plain, free) for name in ("array", "object"))
        return OneOf((*scalars, *(nested if free else ())))

    def alternative(self, plain: Plain, together: Together, free: int) -> Syntax:
        if plain.values is not None:
            return OneOf(tuple(self._listed(value, plain, together) for value in plain.values))
        types = plain.intended - {"integer"} if "number" in plain.intended else plain.intended
        return OneOf(tuple(self.of_type(name, plain, free) for name in sorted(types)))

    def _listed(self, value: Any, plain: Plain, together: Together) -> Syntax:
        """One value of an ``enum``, if it is valid by everything else."""
        if not self.valid(together, value):
            return _NOTHING
        text = json.dumps(value, ensure_ascii=False, separators=(self.comma, self.colon))
        if isinstance(value, str) and plain.formats:
            allowed = machine_of(strings.string(plain, self.limit), self.limit)
            return Text(text) if allowed.accepts(text.encode()) else _NOTHING
        return Text(text)

    def of_type(self, name: str, plain: Plain, free: int) -> Syntax:
        match name:
            case "object":
                return self.object(plain, free)
            case "array":
                return self.array(plain, free)
            case "string":
                return strings.string(plain, self.limit)
            case "number" | "integer":
                return self.number(plain, whole=name == "integer")
            case "boolean":
                return OneOf((Text("true"), Text("false")))
        return Text("null")

    def number(self, plain: Plain, *, whole: bool) -> Syntax:
        limits = plain.limits
        words = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
        bounds = numbers.Bounds(*(limits.get(word) for word in words))
        for word, bound in zip(words, bounds, strict=True):
            if bound is not None and abs(bound) >= 10**numbers.MOST_DIGITS:
                raise refusal(f"{plain.path}/{word}", f"more than {numbers.MOST_DIGITS} digits")
        if "multipleOf" in limits:
            return self._multiple(limits["multipleOf"], plain, bounds)
        if whole:
            return numbers.whole(bounds)
        if not bounds.given:
            return numbers.ANY_NUMBER
        strict = bounds.above is not None or bounds.below is not None
        if strict and numbers.digits_needed(bounds) > numbers.EXACT_DIGITS:
            raise refusal(
                f"{plain.path}/exclusive...", f"bounds of a number of more than {numbers.EXACT_DIGITS} digits"
            )
        return numbers.decimals(bounds)

    def _multiple(self, divisor: float, plain: Plain, bounds: numbers.Bounds) -> Syntax:
        if divisor != int(divisor) or divisor > _MOST_DIVISOR:
            reason = (
                f"allowed: whole numbers from 1 to {_MOST_DIVISOR} (others are compared as binary fractions)"
            )
            raise refusal(f"{plain.path}/multipleOf", reason, divisor)
        whole = machine_of(numbers.whole(bounds), self.limit)
        return Embedded(both(whole, numbers.multiples(int(divisor)), self.limit))

    def _below(self, together: Together, free: int) -> Syntax:
        """A value of which there may be any number: it nests less deep where it may be any."""
        return self.value(together, max(free - 1, 0) if _says_nothing(together) else self.depth)

    def array(self, plain: Plain, free: int) -> Syntax:
        minimum, maximum = plain.limits.get("minItems", 0), plain.limits.get("maxItems", UNBOUNDED)
        if maximum != UNBOUNDED and minimum > maximum:
            return _NOTHING
        rest = self._items(plain, int(minimum), int(maximum), free)
        return Sequence((Text("["), rest, Text("]")))

    def _items(self, plain: Plain, minimum: int, maximum: int, free: int, number: int = 0) -> Syntax:
        """The items from this one on."""
        if number == maximum:
            return EMPTY
        least, most = max(minimum - number, 0), maximum if maximum == UNBOUNDED else maximum - number
        if number >= len(plain.prefix):
            items = self._below(plain.items, free)
            if number == 0:
                return Repeat(items, least, most, self.comma)
            return Repeat(Sequence((Text(self.comma), items)), least, most)
        first = self.value(item(plain, number), self.depth)
        separator = Text(self.comma if number else "")
        rest = Sequence((separator, first, self._items(plain, minimum, maximum, free, number + 1)))
        return rest if least else optional(rest)

    def object(self, plain: Plain, free: int) -> Syntax:
        names = list(dict.fromkeys([*plain.properties, *plain.required]))
        members = [
            Member(self._property(name, self.value(holding(plain, name), self.depth)), name in plain.required)
            for name in names
        ]
        minimum = int(plain.limits.get("minProperties", 0))
        maximum = int(plain.limits.get("maxProperties", UNBOUNDED))
        # Names that a schema with properties does not list are written only where it speaks of them.
        is_open = plain.rest is not None or not plain.properties
        if is_open and self.document.alternatives(plain.rest or ()):
            # A name that comes twice counts once: where names are counted there is one more at most.
            counted = minimum > len(plain.required)
            if minimum > len(names) + 1:
                reason = f"further names may repeat, so that no more than {len(names) + 1} are sure to differ"
                raise refusal(f"{plain.path}/minProperties", reason, minimum)
            other = strings.other_names(names, self.limit)
            value = self._below(plain.rest or (), free)
            members.append(Member(Sequence((other, Text(self.colon), value)), False, repeated=not counted))
        listing = Listing(tuple(members), self.comma, minimum, maximum)
        return Sequence((Text("{"), listing, Text("}")))

    def _property(self, name: str, value: Syntax) -> Syntax:
        return Sequence((Text(strings.literal(name) + self.colon), value))


def _says_nothing(together: Together) -> bool:
    return all(
        located.schema is True or (located.schema is not False and located.schema.keys() <= ANNOTATIONS)
        for located in together
    )
