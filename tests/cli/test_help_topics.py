"""``genserve help``: topics out of the documentation, and the verbs' own help."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Callable

import pytest

from exporter import cli
from exporter.cli.help_topics import TOPICS, section
from tests.conftest import ROOT

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """``run(*arguments)`` -> exit code, stdout, stderr."""

    def ran(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["genserve", *arguments])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        printed = capsys.readouterr()
        return int(caught.value.code or 0), printed.out, printed.err

    return ran


@pytest.mark.parametrize("topic", TOPICS)
def test_a_topic_is_its_sections(run: Run, topic: str) -> None:
    code, shown, said = run("help", topic)
    assert (code, said) == (0, "")
    for page, heading in TOPICS[topic].sections:
        whole = (ROOT / "docs" / page).read_text(encoding="utf-8")
        text = section(page, heading)
        assert text in whole
        assert text in shown
        first, *rest = text.splitlines()
        assert first.lstrip("# ") == heading or (not heading and whole.startswith(first))
        assert any(line.strip() for line in rest)


def test_a_section_ends_where_the_next_one_begins(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    page = "# Page\nlead\n## One\na\n### Inner\nb\n```bash\n# no heading\n```\n## Two\nc\n"
    monkeypatch.setattr("exporter.cli.help_topics._page", lambda name: page)
    assert section("any.md", "") == "# Page\nlead"
    assert section("any.md", "One") == "## One\na\n### Inner\nb\n```bash\n# no heading\n```"
    assert section("any.md", "Inner") == "### Inner\nb\n```bash\n# no heading\n```"
    assert section("any.md", "Two") == "## Two\nc"


def test_the_list_names_every_topic_and_verb(run: Run) -> None:
    code, shown, _ = run("help")
    assert code == 0
    lines = shown.splitlines()
    assert [line.split()[0] for line in lines[: len(TOPICS)]] == sorted(TOPICS)
    verbs = lines[-1].partition(": ")[2].split(", ")
    assert {"export", "serve", "generate", "completion"} <= set(verbs)
    assert not set(verbs) & set(TOPICS)


def test_a_verb_is_its_own_help(run: Run) -> None:
    assert run("help", "warm") == run("warm", "--help")


def test_on_a_terminal_it_is_set(
    run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No marks of Markdown, and no links to files that are not there."""
    _, plain, _ = run("help", "resume")
    assert "## `resume`" in plain
    assert "[design.md](design.md)" in plain
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    code, shown, _ = run("help", "resume")
    assert code == 0
    assert "\x1b[" in shown
    words = re.sub(r"\x1b\[[\d;]*m", "", shown)
    assert "resume: answers in pieces" in words
    assert "](" not in words
    assert "##" not in words


def test_an_unknown_topic_is_named_with_those_that_are(run: Run) -> None:
    code, shown, said = run("help", "bukets")
    assert (code, shown) == (2, "")
    assert said.startswith("error: help: 'bukets' is no topic and no verb (did you mean 'buckets'?); ")
    assert "signatures" in said
    assert "verbs: export, " in said


def test_the_wheel_is_told_of_the_pages() -> None:
    """And a page that no topic shows is not carried along."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    pages = {page for topic in TOPICS.values() for page, _ in topic.sections}
    given = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert given == {f"docs/{page}": f"exporter/docs/{page}" for page in pages}


def test_topics_that_messages_name_are_there() -> None:
    sources = [path for room in ("exporter", "serving_configs") for path in (ROOT / room).rglob("*.py")]
    named = {
        topic
        for path in sources
        for topic in re.findall(r"genserve help ([a-z]+)", path.read_text(encoding="utf-8"))
    }
    assert "images" in named
    assert named <= TOPICS.keys()
