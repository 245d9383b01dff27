"""Schemas with values that must be written, and values that must not; in JSON-Schema-Test-Suite's shapes."""

from __future__ import annotations

from typing import Any, NamedTuple


class Case(NamedTuple):
    schema: Any
    accepted: list[Any]
    refused: list[Any] = []  # noqa: RUF012


PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "email": {"type": "string", "format": "email"},
        "address": {
            "type": "object",
            "properties": {"street": {"type": "string"}, "zip": {"type": "string", "pattern": "^[0-9]{5}$"}},
            "required": ["zip"],
        },
    },
    "required": ["name", "age"],
}
SHAPES = {
    "oneOf": [
        {
            "type": "object",
            "properties": {"kind": {"const": "circle"}, "radius": {"type": "number", "exclusiveMinimum": 0}},
            "required": ["kind", "radius"],
        },
        {
            "type": "object",
            "properties": {"kind": {"const": "square"}, "side": {"type": "number", "minimum": 0}},
            "required": ["kind", "side"],
        },
    ]
}
INVOICE = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Invoice",
    "description": "What is owed",
    "type": "object",
    "$defs": {
        "line": {
            "type": "object",
            "properties": {"item": {"type": "string"}, "count": {"type": "integer", "minimum": 1}},
            "required": ["item", "count"],
            "additionalProperties": False,
        },
        "currency": {"enum": ["EUR", "USD"]},
    },
    "properties": {
        "lines": {"type": "array", "items": {"$ref": "#/$defs/line"}, "minItems": 1},
        "currency": {"$ref": "#/$defs/currency", "default": "EUR"},
        "due": {"type": "string", "format": "date"},
    },
    "required": ["lines", "currency"],
}
CASES: dict[str, Case] = {
    "true": Case(True, [None, True, 1, -2.5, "x", [], {}, [1, [2]], {"a": {"b": 1}}], []),
    "anything": Case({}, [None, "é", [[1]], {"a": [1]}]),
    "null": Case({"type": "null"}, [None], [0, False, ""]),
    "boolean": Case({"type": "boolean"}, [True, False], [0, 1, "true", None]),
    "integer": Case({"type": "integer"}, [0, -1, 123456789012345], [1.5, "1", None]),
    "number": Case({"type": "number"}, [0, -1, 1.5, 1e10, -0.25, 1e-07], ["1", None]),
    "string": Case({"type": "string"}, ["", "é", "日本", '"\\\n', "😀", "/"], [1, None]),
    "object": Case({"type": "object"}, [{}, {"a": 1}, {"a": {"b": {"c": None}}}], [[], 1]),
    "array": Case({"type": "array"}, [[], [1, "a", None], [[[]]]], [{}, 1]),
    "types": Case({"type": ["integer", "null", "boolean"]}, [1, None, True], ["x", 1.5, []]),
    "minimum": Case({"type": "integer", "minimum": 3}, [3, 4, 10, 999], [2, 0, -3]),
    "maximum": Case({"type": "integer", "maximum": 3}, [3, 0, -100], [4, 10]),
    "negative range": Case(
        {"type": "integer", "minimum": -120, "maximum": -7},
        [-120, -99, -7],
        [-6, -121, 7],
    ),
    "range across zero": Case({"type": "integer", "minimum": -5, "maximum": 17}, [-5, 0, 17], [-6, 18]),
    "exclusive": Case(
        {"type": "integer", "exclusiveMinimum": 9, "exclusiveMaximum": 101},
        [10, 100],
        [9, 101],
    ),
    "fractional bounds": Case({"type": "integer", "minimum": 1.2, "maximum": 3.9}, [2, 3], [1, 4]),
    "number range": Case(
        {"type": "number", "minimum": 0, "maximum": 1},
        [0, 1, 0.5, 0.123456],
        [1.5, -0.1, 2],
    ),
    "number exclusive": Case(
        {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.3},
        [0.1, 0.299999, 1e-1],
        [0, 0.3, 0.0],
    ),
    "latitude": Case({"type": "number", "minimum": -90, "maximum": 90}, [-90, 90.0, -12.5, 45], [90.1, -91]),
    "number above": Case({"type": "number", "minimum": 12.75}, [12.75, 13, 1000, 12.8], [12.7, 0, -13]),
    "multipleOf": Case({"type": "integer", "multipleOf": 7}, [0, 7, -21, 7000], [1, 8]),
    "multipleOf range": Case(
        {"multipleOf": 5, "minimum": 1, "maximum": 20, "type": "number"},
        [5, 20],
        [0, 25, 7],
    ),
    "multipleOf twice": Case(
        {"type": "integer", "multipleOf": 4, "allOf": [{"multipleOf": 6}]},
        [12, 24],
        [4, 6],
    ),
    "minLength": Case({"type": "string", "minLength": 2}, ["ab", "日本", "😀😀"], ["", "a", "😀"]),
    "maxLength": Case({"type": "string", "maxLength": 2}, ["", "ab", "😀😀", '"\\'], ["abc"]),
    "length": Case({"type": "string", "minLength": 1, "maxLength": 3}, ["a", "\n\t\\"], ["", "abcd"]),
    "pattern anchored": Case({"type": "string", "pattern": "^a*$"}, ["", "aaa"], ["b", "aab"]),
    "pattern found": Case({"type": "string", "pattern": "a+"}, ["xxaayy", "a"], ["xyz", ""]),
    "pattern begins": Case({"type": "string", "pattern": "^ab|cd$"}, ["abx", "xcd"], ["xab", "cdx"]),
    "pattern quotes": Case({"type": "string", "pattern": '^"[^"]*"$'}, ['"x"'], ["x", '"']),
    "pattern classes": Case({"type": "string", "pattern": r"^\d{2}-\w+\s?\S$"}, ["12-ab c"], ["1-ab", "12-"]),
    "pattern and length": Case(
        {"type": "string", "pattern": "^[a-z]+$", "minLength": 2, "maxLength": 4},
        ["ab", "abcd"],
        ["a", "abcde"],
    ),
    "two patterns": Case(
        {"type": "string", "pattern": "a", "allOf": [{"pattern": "b"}]}, ["ab", "bxa"], ["a", "b"]
    ),
    "date": Case(
        {"type": "string", "format": "date"},
        ["2024-02-29", "2000-02-29"],
        ["2023-02-29", "1900-02-29"],
    ),
    "time": Case(
        {"type": "string", "format": "time"},
        ["23:59:59Z", "12:00:00.5+01:00"],
        ["24:00:00Z", "12:00:00"],
    ),
    "date-time": Case(
        {"type": "string", "format": "date-time"},
        ["2024-12-31T23:59:59Z"],
        ["2024-12-31", "2024-13-01T00:00:00Z"],
    ),
    "duration": Case({"type": "string", "format": "duration"}, ["P1Y2M3D", "PT5M", "P4W"], ["P", "1D", "PT"]),
    "uuid": Case(
        {"type": "string", "format": "uuid"},
        ["2EB8AA08-aa98-11ea-b4aa-73b441d16380"],
        ["2eb8aa08aa9811eab4aa73b441d16380"],
    ),
    "email": Case(
        {"type": "string", "format": "email"},
        ["joe.bloggs@example.com"],
        ["2962", ".a@b.cd", "a@"],
    ),
    "hostname": Case({"type": "string", "format": "hostname"}, ["www.example.com"], ["-a.com", "a..b"]),
    "ipv4": Case(
        {"type": "string", "format": "ipv4"},
        ["192.168.0.1", "0.0.0.0"],
        ["256.1.1.1", "1.2.3", "01.1.1.1"],
    ),
    "ipv6": Case(
        {"type": "string", "format": "ipv6"},
        ["::1", "::", "fe80::a:1", "1:2:3:4:5:6:7:8"],
        ["1::2::3", ":"],
    ),
    "uri": Case(
        {"type": "string", "format": "uri"},
        ["http://foo.bar/?q=Test%20x#f"],
        ["//foo", "\\\\WINDOWS", "a b"],
    ),
    "enum": Case({"enum": ["a", 1, None, [1, 2], {"k": "é"}]}, ["a", 1, None, [1, 2], {"k": "é"}], ["b", 2]),
    "enum typed": Case({"type": "string", "enum": ["a", 1, "b"]}, ["a", "b"], [1]),
    "enum narrowed": Case({"enum": [1, 5, 12], "minimum": 4}, [5, 12], [1]),
    "enum of a format": Case({"enum": ["1.1.1.1", "x"], "format": "ipv4"}, ["1.1.1.1"], ["x"]),
    "const": Case({"const": {"a": [1, "é\n"]}}, [{"a": [1, "é\n"]}], [{}, {"a": []}]),
    "const false": Case({"const": False}, [False], [0, None]),
    "items": Case({"type": "array", "items": {"type": "integer"}}, [[], [1, 2, 3]], [["a"], 1]),
    "minItems": Case(
        {"type": "array", "items": {"type": "null"}, "minItems": 2},
        [[None, None]],
        [[None], []],
    ),
    "maxItems": Case({"type": "array", "items": {"type": "null"}, "maxItems": 2}, [[], [None]], [[None] * 3]),
    "no items": Case({"type": "array", "maxItems": 0}, [[]], [[1]]),
    "prefixItems": Case(
        {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}]},
        [[], [1], [1, "a"], [1, "a", None]], [["a"], [1, 2]],
    ),
    "tuple": Case(
        {"type": "array", "prefixItems": [{"type": "integer"}, {"const": "x"}],
         "items": False, "minItems": 2},
        [[1, "x"]], [[1], [1, "x", 2]],
    ),
    "prefix and items": Case(
        {"type": "array", "prefixItems": [{"type": "string"}], "items": {"type": "boolean"}, "maxItems": 3},
        [["a", True], ["a"], ["a", False, True]], [[True], ["a", 1], ["a", True, True, True]],
    ),
    "unique and few": Case({"type": "array", "uniqueItems": True, "maxItems": 1}, [[], [1]], [[1, 2]]),
    "nested arrays": Case(
        {"type": "array",
         "items": {"type": "array", "items": {"type": "integer", "minimum": 0}, "maxItems": 2}},
        [[], [[1], [2, 3]]], [[1], [[1, 2, 3]]],
    ),
    "properties": Case(
        {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "string"}}},
        [{}, {"a": 1}, {"b": "x"}, {"a": 1, "b": ""}], [{"a": "x"}],
    ),
    "required": Case(
        {"type": "object", "properties": {"a": {}, "b": {"type": "null"}}, "required": ["b"]},
        [{"b": None}, {"a": [1], "b": None}], [{}, {"a": 1}],
    ),
    "required alone": Case(
        {"type": "object", "required": ["x"]},
        [{"x": 1}, {"x": 1, "y": 2}],
        [{}, {"y": 1}],
    ),
    "without type": Case(
        {"properties": {"a": {"type": "null"}}, "required": ["a"]},
        [{"a": None}],
        [{}, {"a": 1}],
    ),
    "closed": Case(
        {"type": "object", "properties": {"a": {"const": 1}}, "additionalProperties": False},
        [{}, {"a": 1}], [{"b": 1}],
    ),
    "additional": Case(
        {"type": "object", "properties": {"a": {"const": 1}}, "additionalProperties": {"type": "boolean"}},
        [{}, {"a": 1, "b": True}, {"x": False, "ab": True}], [{"a": True}, {"b": 1}],
    ),
    "dictionary": Case(
        {"type": "object", "additionalProperties": {"type": "integer"}, "maxProperties": 2},
        [{}, {"x": 1}, {"x": 1, "y": 2}], [{"x": 1, "y": 2, "z": 3}, {"x": "a"}],
    ),
    "minProperties": Case(
        {"type": "object", "properties": {c: {"const": 1} for c in "abc"}, "minProperties": 2},
        [{"a": 1, "b": 1}, {"a": 1, "c": 1}, {"a": 1, "b": 1, "c": 1}], [{}, {"b": 1}],
    ),
    "maxProperties": Case(
        {"type": "object", "properties": {c: {"const": 1} for c in "abc"}, "maxProperties": 1},
        [{}, {"c": 1}], [{"a": 1, "b": 1}],
    ),
    "one further": Case({"type": "object", "minProperties": 1}, [{"x": 1}], [{}]),
    "strange names": Case(
        {"type": "object", "properties": {'q"\\': {"const": 1}, "é\n": {"const": 2}, "": {"const": 3}}},
        [{'q"\\': 1, "é\n": 2, "": 3}], [{"": 1}],
    ),
    "anyOf": Case(
        {"anyOf": [{"type": "integer"}, {"type": "string", "maxLength": 2}]},
        [1, "ab"],
        ["abc", None],
    ),
    "anyOf beside": Case(
        {"type": "object", "properties": {"a": {"const": 1}, "b": {"const": 2}},
         "anyOf": [{"required": ["a"]}, {"required": ["b"]}]},
        [{"a": 1}, {"b": 2}, {"a": 1, "b": 2}], [{}],
    ),
    "allOf": Case({"type": "integer", "allOf": [{"minimum": 3}, {"maximum": 5}]}, [3, 5], [2, 6]),
    "allOf objects": Case(
        {"allOf": [{"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
                   {"type": "object", "properties": {"a": {"minimum": 5}, "b": {"type": "null"}}}]},
        [{"a": 5}, {"a": 7, "b": None}], [{"a": 4}, {"b": None}],
    ),
    "allOf closed": Case(
        {"allOf": [{"type": "object", "properties": {"a": {"const": 1}}},
                   {"properties": {"b": {"const": 2}}, "additionalProperties": {"type": "integer"}}]},
        [{"a": 1, "b": 2}], [{"a": 2}],
    ),
    "oneOf types": Case(
        {"oneOf": [{"type": "integer"}, {"type": "string"}, {"type": "null"}]},
        [1, "a", None],
        [1.5, []],
    ),
    "oneOf ranges": Case(
        {"type": "integer", "oneOf": [{"maximum": 3}, {"minimum": 10, "maximum": 12}]}, [-5, 3, 11], [5, 13]
    ),
    "oneOf values": Case({"oneOf": [{"enum": [1, 2]}, {"enum": ["a", None]}]}, [1, "a", None], [3, "b"]),
    "oneOf kinds": Case(
        SHAPES,
        [{"kind": "circle", "radius": 2.5}, {"kind": "square", "side": 0}],
        [{"kind": "circle", "side": 1}, {"kind": "square"}, {"kind": "x"}],
    ),
    "ref": Case(
        {"$defs": {"a/b~": {"type": "integer", "maximum": 9}}, "type": "array",
         "items": {"$ref": "#/$defs/a~1b~0"}},
        [[], [1, 9]], [[10], ["x"]],
    ),
    "ref to values": Case(
        {"$id": "https://example.com/s", "$defs": {"n": {"enum": [1, 2, "x"]}}, "$ref": "#/$defs/n",
         "minimum": 2},
        [2, "x"],
        [1],
    ),
    "ref beside": Case(
        {"definitions": {"n": {"type": "integer"}}, "$ref": "#/definitions/n", "minimum": 3}, [3, 4], [2, "x"]
    ),
    "ref of ref": Case(
        {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"type": "null"}}, "type": "object",
         "properties": {"x": {"$ref": "#/$defs/a"}, "y": {"$ref": "#/$defs/b"}}},
        [{"x": None, "y": None}], [{"x": 1}],
    ),
    "ref to a property": Case(
        {"type": "object", "properties": {"a": {"type": "boolean"}, "b": {"$ref": "#/properties/a"}}},
        [{"a": True, "b": False}], [{"b": 1}],
    ),
    "optional null": Case(
        {"type": "object",
         "properties": {"x": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None}},
         "required": ["x"]},
        [{"x": None}, {"x": "a"}], [{"x": 1}, {}],
    ),
    "person": Case(
        PERSON,
        [{"name": "Ada", "age": 36},
         {"name": "A", "age": 150, "email": "a@b.org", "address": {"zip": "12345"}}],
        [{"name": "", "age": 3}, {"name": "A", "age": 151},
         {"name": "A", "age": 1, "address": {"zip": "1234"}}],
    ),
    "invoice": Case(
        INVOICE,
        [{"lines": [{"item": "tea", "count": 2}], "currency": "EUR"},
         {"lines": [{"item": "", "count": 1}], "currency": "USD", "due": "2024-02-29"}],
        [{"lines": [], "currency": "EUR"}, {"lines": [{"item": "tea", "count": 0}], "currency": "EUR"}],
    ),
    "tool call": Case(
        {"type": "object", "properties": {
            "name": {"const": "get_weather"},
            "arguments": {"type": "object", "properties": {
                "city": {"type": "string"}, "unit": {"enum": ["celsius", "fahrenheit"]},
                "days": {"type": "integer", "minimum": 1, "maximum": 14}},
                "required": ["city"], "additionalProperties": False}},
         "required": ["name", "arguments"], "additionalProperties": False},
        [{"name": "get_weather", "arguments": {"city": "Zürich", "unit": "celsius", "days": 14}}],
        [{"name": "x", "arguments": {"city": "a"}},
         {"name": "get_weather", "arguments": {"city": "a", "days": 15}}],
    ),
    "sentiment": Case(
        {"type": "object", "properties": {
            "label": {"enum": ["positive", "negative", "neutral"]},
            "score": {"type": "number", "minimum": 0, "maximum": 1}}, "required": ["label", "score"]},
        [{"label": "neutral", "score": 0.875}],
        [{"label": "bad", "score": 1}, {"label": "neutral", "score": 2}],
    ),
    "entities": Case(
        {"type": "array", "minItems": 1, "maxItems": 3, "items": {"type": "object", "properties": {
            "text": {"type": "string", "maxLength": 20}, "type": {"enum": ["PER", "ORG"]}},
            "required": ["text", "type"]}},
        [[{"text": "Ada", "type": "PER"}]], [[], [{"text": "Ada"}]],
    ),
}  # fmt: skip
