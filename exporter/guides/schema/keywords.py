"""The keywords of JSON Schema: which are read, which say nothing about a value, which are refused and why."""

from __future__ import annotations

from exporter.errors import OptionError, UnsupportedError, did_you_mean, shown

BY_TYPE = {
    "object": ("properties", "required", "additionalProperties", "minProperties", "maxProperties"),
    "array": ("prefixItems", "items", "minItems", "maxItems", "uniqueItems"),
    "string": ("minLength", "maxLength", "pattern", "format"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
}
COMBINING = ("$ref", "allOf", "anyOf", "oneOf")
READ = frozenset(
    {"type", "enum", "const", *COMBINING, *(word for words in BY_TYPE.values() for word in words)}
)
ANNOTATIONS = frozenset(
    {
        "$schema", "$comment", "$defs", "definitions", "title", "description", "default", "examples",
        "deprecated", "readOnly", "writeOnly",
    }
)  # fmt: skip
_COUNTING = "a table would need a state for every set of values seen so far"
_ELSE = "what a value is not cannot be written as what it is"
REFUSED = {
    "not": _ELSE,
    "if": _ELSE,
    "then": _ELSE,
    "else": _ELSE,
    "dependentRequired": "use anyOf with the properties of each case",
    "dependentSchemas": "use anyOf with the properties of each case",
    "dependencies": "use anyOf with the properties of each case",
    "unevaluatedProperties": "use additionalProperties",
    "unevaluatedItems": "use items",
    "patternProperties": "name the properties, or use additionalProperties",
    "propertyNames": "name the properties",
    "contains": _COUNTING,
    "minContains": _COUNTING,
    "maxContains": _COUNTING,
    "additionalItems": "use prefixItems and items",
    "contentEncoding": "use pattern",
    "contentMediaType": "use pattern",
    "contentSchema": "use pattern",
    "$id": "schemas are one document; use $defs",
    "$anchor": "use the path in the document: #/$defs/...",
    "$dynamicRef": "use $ref",
    "$dynamicAnchor": "use the path in the document: #/$defs/...",
    "$recursiveRef": "use $ref",
    "$recursiveAnchor": "use the path in the document: #/$defs/...",
    "$vocabulary": "schemas of schemas are not read",
}


def check(schema: dict[str, object], path: str) -> None:
    """UnsupportedError or OptionError for the first keyword that is not read."""
    for word in schema:
        if word in READ or word in ANNOTATIONS or word.startswith("x-") or (word == "$id" and not path):
            continue
        if word in REFUSED:
            raise refusal(f"{path}/{word}", REFUSED[word])
        raise OptionError(
            f"guided_json: {path}/{word}: no keyword of JSON Schema{did_you_mean(word, READ | ANNOTATIONS)}"
        )
    if schema.get("uniqueItems") and schema.get("maxItems", 2) > 1:  # type: ignore[operator]
        raise refusal(f"{path}/uniqueItems", _COUNTING)


def refusal(path: str, reason: str, value: object = None) -> UnsupportedError:
    """What to raise for what a table cannot say."""
    told = "" if value is None else f"{shown(value)}: "
    return UnsupportedError(f"guided_json: {path or '/'}: {told}not supported: {reason}")
