"""Commands in sentences and pictures are those of the command line, as those in code blocks are."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer.main

from exporter.cli import app
from tests.conftest import ROOT
from tests.docs.markdown import DOCUMENTS, commands_of, typed

_VERBS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def _flags(verb: str) -> set[str]:
    return {name for option in _VERBS[verb].params for name in (*option.opts, *option.secondary_opts)}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: str(document.relative_to(ROOT)))
def test_flags_in_a_sentence_are_those_of_their_verb(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    for code in re.findall(r"(?<!`)`genserve ([a-z][^`]*)`(?!`)", text):
        verb, *words = code.split()
        if verb == "help":
            continue
        assert verb in _VERBS, f"genserve {code}"
        named = {word.partition("=")[0] for word in words if word.startswith("--")}
        assert named <= _flags(verb) | {"--help"}, f"genserve {code}"


@pytest.mark.parametrize("name", ["export", "chat"])
def test_commands_of_a_picture(name: str) -> None:
    shown = list(commands_of(typed(ROOT / "docs" / "images" / f"{name}.svg")))
    assert name in [verb for verb, *_ in shown]
    for verb, *arguments in shown:
        _VERBS[verb].make_context(verb, arguments)


def test_commands_behind_variables_and_before_files() -> None:
    shell = """\
HF_HUB_OFFLINE=1 A='b' genserve export demo:stories out \\
    --force > log 2>&1 &
source <(genserve completion bash) && echo hi | genserve chat out/a/1   # a note
genserve serve out 2>> errors
printf genserve
"""
    assert list(commands_of(shell)) == [
        ["export", "demo:stories", "out", "--force"],
        ["completion", "bash"],
        ["chat", "out/a/1"],
        ["serve", "out"],
    ]
