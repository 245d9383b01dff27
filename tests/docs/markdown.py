"""The documents of the repository, and what stands in their code blocks."""

from __future__ import annotations

import itertools
import re
import shlex
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.conftest import ROOT

DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
_FENCED = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
#: A command, behind variables that are set for it alone.
_COMMAND = re.compile(r"(?:\w+=\S* +)*genserve (?=\S)")
_INNER = re.compile(r"[<$]\(([^)]*)\)")
_REDIRECTION = re.compile(r"\d?(?:>>?|<)(?:&\d)?")
_INDENTED = re.compile(r"(?:(?<=\n\n)(?: {4}.*\n+)+)")


class Block(NamedTuple):
    """A code block; ``language`` is empty for an indented one."""

    document: Path
    language: str
    text: str


def blocks(document: Path) -> Iterator[Block]:
    """The code blocks of a document, fenced ones first."""
    text = document.read_text(encoding="utf-8")
    for _, language, inside in _FENCED.findall(text):
        yield Block(document, language, inside)
    for inside in _INDENTED.findall(_FENCED.sub("", text)):
        yield Block(document, "", inside)


def commands(document: Path) -> Iterator[list[str]]:
    """The words of every ``genserve`` command of a document, from the verb on."""
    for block in blocks(document):
        if block.language in ("", "bash", "sh"):
            yield from commands_of(block.text)


def commands_of(shell: str) -> Iterator[list[str]]:
    """Those of some lines, without the variables that are set before them and the files they write to."""
    for line in shell.replace("\\\n", " ").splitlines():
        outer = re.split(r"\s[|&;]+(?:\s|$)", _INNER.sub("", line.strip()))
        for command in (*_INNER.findall(line), *outer):
            if found := _COMMAND.match(command):
                words = shlex.split(command[found.end() :], comments=True)
                yield list(itertools.takewhile(lambda word: not _REDIRECTION.fullmatch(word), words))


def typed(picture: Path) -> str:
    """What was typed at the prompt of a terminal's picture; "> " begins a line that goes on."""
    lines: dict[float, str] = {}
    for element in ET.parse(picture).iter("{http://www.w3.org/2000/svg}text"):
        if "terminal-r" in element.get("class", ""):
            place = float(element.get("y", ""))
            lines[place] = lines.get(place, "") + "".join(element.itertext()).replace("\xa0", " ").strip("\n")
    entered, more = [], False
    for _, line in sorted(lines.items()):
        if line.startswith("$ ") or more:
            entered.append(line[2:].rstrip())
            more = entered[-1].endswith("\\")
    return "\n".join(entered)
