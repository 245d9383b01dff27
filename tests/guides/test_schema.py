"""What guided_json writes is valid by the jsonschema package; what is valid and in its form, it writes."""

from __future__ import annotations

import datetime
import json
import random
import re
from fractions import Fraction
from functools import cache
from typing import Any

import jsonschema
import pytest

from exporter.errors import OptionError, UnsupportedError
from exporter.guides import Guide, GuideTable, compile_guide, language
from exporter.guides.schema.keywords import REFUSED as REFUSED_KEYWORDS
from tests.guides.refusals import REFUSED, WRONG
from tests.guides.schemas import CASES
from tests.guides.walks import EOS, PIECES, SPECIAL, answers, spelled

FORMATS = jsonschema.FormatChecker()
_LABELS = r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*"


@FORMATS.checks("date-time", raises=ValueError)
def _date_time(text: object) -> bool:
    return not isinstance(text, str) or bool("T" in text and datetime.datetime.fromisoformat(text).tzinfo)


@FORMATS.checks("time", raises=ValueError)
def _time(text: object) -> bool:
    return not isinstance(text, str) or bool(datetime.time.fromisoformat(text).tzinfo)


@FORMATS.checks("email")
def _email(text: object) -> bool:
    """RFC 5321's dot-string in front of a name; its lengths too."""
    local, _, domain = str(text).rpartition("@")
    atom = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
    return bool(re.fullmatch(rf"{atom}(\.{atom})*", local)) and len(local) <= 64 and _hostname(domain)


@FORMATS.checks("duration")
def _duration(text: object) -> bool:
    """RFC 3339, appendix A."""
    time = r"T(\d+H(\d+M(\d+S)?)?|\d+M(\d+S)?|\d+S)"
    date = r"(\d+D|\d+M(\d+D)?|\d+Y(\d+M(\d+D)?)?)"
    return bool(re.fullmatch(rf"P({date}({time})?|{time}|\d+W)", str(text)))


@FORMATS.checks("hostname")
def _hostname(text: object) -> bool:
    """RFC 1034, section 3.1."""
    short = all(len(label) <= 63 for label in str(text).split(".")) and len(str(text)) <= 253
    return short and bool(re.fullmatch(_LABELS, str(text), re.IGNORECASE))


@FORMATS.checks("uri")
def _uri(text: object) -> bool:
    """RFC 3986, appendix B and the characters that it allows."""
    parts = re.match(r"^([^:/?#]+):(//([^/?#]*))?([^?#]*)(\?([^#]*))?(#(.*))?$", str(text))
    return parts is not None and bool(
        re.fullmatch(r"([!#$&'()*+,/:;=?@\[\]\w.~-]|%[0-9a-fA-F]{2})*", str(text))
    )


def written(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def valid(schema: Any, value: Any) -> bool:
    return jsonschema.Draft202012Validator(schema, format_checker=FORMATS).is_valid(value)


def pool() -> list[Any]:
    """All values that the cases name, and every property left out of them or doubled in an array."""
    values = [value for case in CASES.values() for value in (*case.accepted, *case.refused)]
    values += [[value] for value in values] + [[value, value] for value in values]
    return values + [
        {name: value[name] for name in value if name != left_out}
        for value in values
        if isinstance(value, dict)
        for left_out in value
    ]


@cache
def table(name: str) -> GuideTable:
    return compile_guide(Guide("json", CASES[name].schema), PIECES, [EOS], SPECIAL)


POOL = [(value, written(value)) for value in pool()]


def test_there_are_enough_cases() -> None:
    assert len(CASES) >= 60
    assert {name for name in REFUSED_KEYWORDS if not name.startswith("$")} <= set(REFUSED)


@pytest.mark.parametrize("name", CASES)
def test_values(name: str) -> None:
    case = CASES[name]
    machine = language(Guide("json", case.schema))
    for value in case.accepted:
        assert valid(case.schema, value), value
        assert machine.accepts(written(value)), value
    for value in case.refused:
        assert not valid(case.schema, value), value
    for value, text in POOL:
        if machine.accepts(text):
            assert valid(case.schema, value), value


@pytest.mark.parametrize("name", CASES)
def test_answers_are_valid(name: str, full: bool) -> None:
    validator = jsonschema.Draft202012Validator(CASES[name].schema, format_checker=FORMATS)
    for text in answers(table(name), PIECES, EOS, 500 if full else 20, seed=len(name)):
        assert validator.is_valid(json.loads(text.decode())), text


@pytest.mark.parametrize("name", CASES)
def test_valid_values_are_spelled(name: str) -> None:
    for value in CASES[name].accepted:
        assert spelled(table(name), PIECES, EOS, written(value)), value


@pytest.mark.parametrize("name", REFUSED)
def test_refused_by_name(name: str) -> None:
    schema, message = REFUSED[name]
    with pytest.raises(UnsupportedError, match=f"^guided_json: .*{re.escape(message)}"):
        language(Guide("json", schema))
    # Wherever it stands, and after a valid part.
    nested = {"properties": {"x": {"type": "array", "items": schema}}}
    with pytest.raises(UnsupportedError, match=r"^guided_json: /(properties/x/items|\$defs)/"):
        language(Guide("json", nested | {"$defs": schema.get("$defs", {})}))


@pytest.mark.parametrize("name", WRONG)
def test_wrong_schemas(name: str) -> None:
    schema, message = WRONG[name]
    with pytest.raises(OptionError, match=f"^guided_json: .*{re.escape(message)}"):
        compile_guide(Guide("json", schema), PIECES, [EOS], SPECIAL)


def test_whole_numbers_of_random_ranges(full: bool) -> None:
    rng = random.Random(0)
    for _ in range(100 if full else 6):
        low, high = sorted(rng.randint(-1300, 1300) for _ in range(2))
        step = rng.choice([1, 1, 3, 8])
        schema = {"type": "integer", "minimum": low, "maximum": high, "multipleOf": step}
        machine = language(Guide("json", schema))
        for value in range(-1400, 1400):
            allowed = low <= value <= high and value % step == 0
            assert machine.accepts(written(value)) == allowed, (schema, value)


def test_decimals_of_random_ranges(full: bool) -> None:
    """Texts with and without fractions, zeros at their ends included."""
    rng = random.Random(1)
    for _ in range(100 if full else 6):
        low, high = sorted(rng.randint(-3000, 3000) / rng.choice([1, 10, 1000]) for _ in range(2))
        words = rng.choice([("minimum", "maximum"), ("exclusiveMinimum", "exclusiveMaximum")])
        machine = language(Guide("json", dict(zip(words, (low, high), strict=True)) | {"type": "number"}))
        bounds = Fraction(str(low)), Fraction(str(high))
        ends = [str(low), str(high), f"{low}00", f"{high}01"]
        near = [f"{rng.uniform(low - 2, high + 2):.{rng.randint(0, 6)}f}" for _ in range(60)]
        for text in ends + near:
            value = Fraction(text)
            between = bounds[0] <= value <= bounds[1]
            allowed = (
                between and (words[0] == "minimum" or value not in bounds) and not re.match("-0(.0*)?$", text)
            )
            assert machine.accepts(text.encode()) == allowed, (words, low, high, text)


def test_any_value_nests_as_deep_as_said() -> None:
    for depth in (1, 2, 4):
        machine = language(Guide("json", {"type": "object"}, depth=depth))
        value: Any = 1
        for level in range(1, 6):
            value = {"a": value}
            assert machine.accepts(written(value)) == (level <= depth)


def test_a_string_too_long_is_refused_before_the_table() -> None:
    guide = Guide("json", {"type": "string", "maxLength": 10**9})
    with pytest.raises(OptionError, match=r"guided_json: .*more than 1000 states; allowed: 1000"):
        compile_guide(guide, PIECES, [EOS], SPECIAL, limit=1000)
