"""Whether the arms of a ``oneOf`` exclude each other, so that "exactly one" is "any"."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Any

from exporter.guides.schema.keywords import refusal
from exporter.guides.schema.merging import Document, Located, Plain, Together, holding

Valid = Callable[[Together, Any], bool]
_LIMITS = {
    "number": (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")),
    "string": (("minLength",), ("maxLength",)),
    "array": (("minItems",), ("maxItems",)),
    "object": (("minProperties",), ("maxProperties",)),
}


def check_one_of(document: Document, valid: Valid, located: Located) -> None:
    """Refuses a ``oneOf`` with two arms that one value may be valid by, as far as can be told."""
    around = Located({k: v for k, v in located.schema.items() if k != "oneOf"}, located.path, located.through)
    arms = [(around, located.at("oneOf", number)) for number in range(len(located.schema["oneOf"]))]
    for (one, left), (two, right) in combinations(enumerate(arms), 2):
        if not _apart(document, valid, left, right):
            raise refusal(
                f"{located.path}/oneOf",
                f"arms {one} and {two} may both hold of a value; allowed: arms that differ in type, in the "
                "values or ranges that they list, or in a property that both require, such as "
                '{"kind": {"const": ...}}; or anyOf',
            )


def _apart(document: Document, valid: Valid, left: Together, right: Together) -> bool:
    """Whether no value is valid by both; False where that is not known."""
    return all(
        _listed_apart(valid, one, right)
        or _listed_apart(valid, two, left)
        or all(
            _type_apart(document, valid, name, one, two)
            for name in (one.intended | two.intended) & one.types & two.types
        )
        for one in document.alternatives(left)
        for two in document.alternatives(right)
    )


def _listed_apart(valid: Valid, plain: Plain, other: Together) -> bool:
    return plain.values is not None and not any(valid(other, value) for value in plain.values)


def _type_apart(document: Document, valid: Valid, name: str, one: Plain, two: Plain) -> bool:
    """The same for values of one type."""
    if _range_apart(name, one, two) or _range_apart(name, two, one):
        return True
    return name == "object" and any(
        _apart(document, valid, holding(one, required), holding(two, required))
        for required in {*one.required, *two.required}
        if (required in one.required and required in two.required)
        or _impossible(document, holding(one, required))
        or _impossible(document, holding(two, required))
    )


def _impossible(document: Document, together: Together) -> bool:
    return not document.alternatives(together)


def _range_apart(name: str, low: Plain, high: Plain) -> bool:
    """Whether all that ``low`` allows is less than all that ``high`` allows."""
    lower, upper = _LIMITS.get("number" if name == "integer" else name, ((), ()))
    tops = [(low.limits[word], word.startswith("exclusive")) for word in upper if word in low.limits]
    floors = [(high.limits[word], word.startswith("exclusive")) for word in lower if word in high.limits]
    return any(top < floor or (top == floor and (one or two)) for top, one in tops for floor, two in floors)
