"""The page: well-formed, complete in itself, and with nothing of a server's words as markup."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from typing import Any

import jsonschema
import pytest

from exporter.client.errors import RequestError
from exporter.loadtest.endpoint import Answer
from exporter.loadtest.html_page import page
from exporter.loadtest.load_report import LoadReport
from exporter.loadtest.load_settings import Goal
from exporter.loadtest.loops import Load
from exporter.loadtest.svg import ticks
from tests.conftest import ROOT
from tests.loadtest.clock import play
from tests.loadtest.fakes import Fake, session

EVIL = "<script>alert('x')</script> & \"more\""
_VOID = {"meta"}


class _Tags(HTMLParser):
    """Every tag is closed where it was opened."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.attributes: dict[str, set[str]] = {}
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        for name, value in attrs:
            self.attributes.setdefault(name, set()).add(value or "")
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def reply(number: int) -> Answer:
    if number % 7 == 6:
        raise RequestError("UNAVAILABLE", EVIL)
    return Answer((EVIL,) if number % 7 == 5 else (), 5, pieces=(float(number),))


@pytest.fixture(scope="module")
def reports() -> dict[str, LoadReport]:
    """Of a load with failures, a sweep, one without any answer and one that saw nothing."""

    def failing(number: int) -> Answer:
        raise RequestError("INTERNAL", EVIL)

    goal = Goal(0.1, 95.0, 0.2)
    return {
        "load": play(session(Fake(0.01, reply=reply), load=Load(rate=20.0, requests=300)).run()),
        "sweep": play(session(Fake(0.02), load=Load(rate=4.0, requests=300), goal=goal).run()),
        "failed": play(session(Fake(reply=failing), load=Load(concurrency=2, requests=9), warmup=0).run()),
        "one": play(session(Fake(0.0), load=Load(concurrency=1, requests=1), warmup=0).run()),
    }


@pytest.mark.parametrize("name", ["load", "sweep", "failed", "one"])
def test_the_page_is_whole(reports: dict[str, LoadReport], name: str) -> None:
    text = page(reports[name])
    parsed = _Tags()
    parsed.feed(text)
    parsed.close()
    assert parsed.open == []
    assert not parsed.seen & {"script", "link", "img", "iframe", "object", "embed", "image", "use", "base"}
    assert not parsed.attributes.keys() & {
        "src",
        "href",
        "xlink:href",
        "srcset",
        "action",
        "style",
        "onclick",
    }
    assert not re.search(r"url\(|@import", text)
    assert "stories" in parsed.text
    assert "prefers-color-scheme: dark" in text


@pytest.mark.parametrize(("name", "count"), [("load", 4), ("sweep", 5), ("failed", 0)])
def test_charts_are_images_with_all_their_points_inside(
    reports: dict[str, LoadReport], name: str, count: int
) -> None:
    drawn = re.findall(r"<svg.*?</svg>", page(reports[name]), re.DOTALL)
    assert len(drawn) == count
    for text in drawn:
        image = ET.fromstring(text)
        assert image.get("aria-label")
        _, _, width, height = map(float, str(image.get("viewBox")).split())
        places = {"cx": width, "x1": width, "x2": width, "x": width, "cy": height, "y1": height, "y": height}
        for element in image.iter():
            for attribute, limit in places.items():
                if (value := element.get(attribute)) is not None:
                    assert 0 <= float(value) <= limit, (attribute, value)


def test_a_servers_words_are_text(reports: dict[str, LoadReport]) -> None:
    text = page(reports["load"])
    assert "<script>" not in text
    parsed = _Tags()
    parsed.feed(text)
    assert parsed.text.count(EVIL) == 2  # of requests and of rows


def test_the_figures_stand_in_the_page(reports: dict[str, LoadReport]) -> None:
    report = reports["sweep"]
    assert report.sweep is not None
    text = page(report)
    for step in report.sweep.steps:
        assert f"<td>{step.rate:.4g}</td>" in text
    assert f"<b>{report.sweep.rate:.4g}</b>" in text


def test_reports_are_what_their_schema_and_the_documentation_say(reports: dict[str, LoadReport]) -> None:
    schema = LoadReport.model_json_schema()
    documented = re.findall(r"(?m)^\| (`.*?) \|", (ROOT / "docs" / "bench.md").read_text(encoding="utf-8"))
    names = {name for row in documented for name in re.findall(r"`(\w+)`", row)}
    fields: set[str] = set(schema["properties"])
    for definition in schema["$defs"].values():
        fields |= set(definition["properties"])
    assert names == fields
    for report in reports.values():
        document: Any = json.loads(report.model_dump_json())
        jsonschema.validate(document, schema)
        assert document["format"] == 1
        assert LoadReport.model_validate(document) == report


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 0.42, [0, 0.1, 0.2, 0.3, 0.4]),
        (0, 5, [0, 1, 2, 3, 4, 5]),
        (3, 3, [3]),
        (12, 61, [20, 30, 40, 50, 60]),
    ],
)
def test_ticks_are_round(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == pytest.approx(expected)
