"""Schemas that are refused or wrong, and what the message must name."""

from __future__ import annotations

from typing import Any

#: Schemas that are refused: the schema, and what the message must name.
REFUSED: dict[str, tuple[Any, str]] = {
    "not": ({"type": "integer", "not": {"const": 3}}, "/not: "),
    "if": ({"if": {"type": "integer"}, "then": {"minimum": 1}}, "/if: "),
    "then": ({"then": {"minimum": 1}}, "/then: "),
    "else": ({"else": {"minimum": 1}}, "/else: "),
    "dependentRequired": ({"type": "object", "dependentRequired": {"a": ["b"]}}, "/dependentRequired: "),
    "dependentSchemas": ({"type": "object", "dependentSchemas": {"a": {}}}, "/dependentSchemas: "),
    "dependencies": ({"type": "object", "dependencies": {"a": ["b"]}}, "/dependencies: "),
    "unevaluatedProperties": ({"type": "object", "unevaluatedProperties": False}, "/unevaluatedProperties: "),
    "unevaluatedItems": ({"type": "array", "unevaluatedItems": False}, "/unevaluatedItems: "),
    "patternProperties": ({"type": "object", "patternProperties": {"^a": {}}}, "/patternProperties: "),
    "propertyNames": ({"type": "object", "propertyNames": {"maxLength": 3}}, "/propertyNames: "),
    "contains": ({"type": "array", "contains": {"const": 1}}, "/contains: "),
    "minContains": ({"type": "array", "minContains": 2}, "/minContains: "),
    "maxContains": ({"type": "array", "maxContains": 2}, "/maxContains: "),
    "uniqueItems": ({"type": "object", "properties": {"tags": {"type": "array", "uniqueItems": True}}},
                    "/properties/tags/uniqueItems: "),
    "additionalItems": ({"type": "array", "additionalItems": False}, "/additionalItems: "),
    "contentEncoding": ({"type": "string", "contentEncoding": "base64"}, "/contentEncoding: "),
    "contentMediaType": ({"type": "string", "contentMediaType": "text/html"}, "/contentMediaType: "),
    "contentSchema": ({"type": "string", "contentSchema": {}}, "/contentSchema: "),
    "$id below": ({"properties": {"a": {"$id": "x"}}}, "/properties/a/$id: "),
    "$anchor": ({"$anchor": "x"}, "/$anchor: "),
    "$dynamicRef": ({"$dynamicRef": "#x"}, "/$dynamicRef: "),
    "$dynamicAnchor": ({"$dynamicAnchor": "x"}, "/$dynamicAnchor: "),
    "recursive": ({"$defs": {"n": {"type": "object", "properties": {"next": {"$ref": "#/$defs/n"}}}},
                   "$ref": "#/$defs/n"},
                  "/$defs/n/properties/next/$ref: '#/$defs/n': not supported: the schema is recursive"),
    "recursive root": ({"type": "array", "items": {"$ref": "#"}}, "/items/$ref: "),
    "remote": ({"$ref": "https://example.com/schema"}, "/$ref: 'https://example.com/schema'"),
    "missing": ({"$ref": "#/$defs/x"}, "/$ref: '#/$defs/x'"),
    "format": (
        {"type": "string", "format": "idn-email"},
        "/format: 'idn-email': not supported: allowed: date, ",
    ),
    "multipleOf": (
        {"type": "number", "multipleOf": 0.01},
        "/multipleOf: 0.01: not supported: allowed: whole",
    ),
    "large multipleOf": ({"type": "integer", "multipleOf": 1001}, "/multipleOf: 1001"),
    "oneOf": ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, "/oneOf: not supported: arms 0 and 1"),
    "oneOf objects": ({"type": "object", "oneOf": [{"required": ["a"]}, {"required": ["b"]}]},
                      "/oneOf: not supported: arms 0 and 1"),
    "minProperties": ({"type": "object", "minProperties": 2}, "/minProperties: 2"),
    "digits": ({"type": "number", "exclusiveMaximum": 0.1234567890123}, "exclusive"),
    "look-ahead": ({"type": "string", "pattern": "^(?=a)"}, "/pattern: "),
    "backreference": ({"type": "string", "pattern": r"(a)\1"}, "/pattern: "),
    "boundary": ({"type": "string", "pattern": r"\bword"}, "/pattern: "),
    "other escapes": ({"type": "string", "pattern": r"\p{L}"}, "/pattern: "),
    "python's end": ({"type": "string", "pattern": r"a\Z"}, "/pattern: "),
    "flags": ({"type": "string", "pattern": "(?i)a"}, "/pattern: "),
}  # fmt: skip

#: Schemas that are wrong: the schema, and what the message must name.
WRONG: dict[str, tuple[Any, str]] = {
    "misspelled": (
        {"type": "object", "propertees": {}},
        "/propertees: no keyword of JSON Schema (did you mean 'properties'?)",
    ),
    "no schema": ({"type": "object", "properties": {"age": {"minimum": "3"}}}, "/properties/age/minimum"),
    "type": ({"type": "text"}, "/type"),
    "pattern": ({"type": "string", "pattern": "("}, "/pattern: "),
    "nothing": (False, "it allows no text at all"),
    "no number": ({"type": "integer", "minimum": 3, "maximum": 2}, "it allows no text at all"),
    "impossible": (
        {"type": "object", "properties": {"a": False}, "required": ["a"]},
        "it allows no text at all",
    ),
    "not JSON": ("{'a': 1}", "is not JSON"),
    "a list": ("[]", "allowed: a JSON Schema"),
}  # fmt: skip
