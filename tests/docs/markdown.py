"""The documents of the repository, and what stands in their code blocks."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.conftest import ROOT

DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
_FENCED = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
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
        if block.language not in ("", "bash", "sh"):
            continue
        for line in block.text.replace("\\\n", " ").splitlines():
            for command in re.split(r"\s[|&]+\s", line.strip()):
                if command.startswith("genserve "):
                    yield shlex.split(command, comments=True)[1:]
