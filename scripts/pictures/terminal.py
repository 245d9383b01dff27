"""A shell in a terminal that is not seen, typed into as a person would, and its screen as an SVG.

The screen is pyte's, which follows a program's cursor and colours; the picture is rich's.
"""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pexpect
import pyte
from rich.console import Console
from rich.style import Style
from rich.text import Text

ROOT = Path(__file__).resolve().parents[2]
#: High enough that nothing scrolls away.
ROWS = 400
#: An escape sequence that no terminal shows: the shell waits for a line.
_READY = "\x1b]7;ready\x07"
#: pyte's name of a colour -> rich's, where they differ.
_COLOURS = {
    "default": None,
    "brown": "yellow",
    "brightbrown": "bright_yellow",
    "bfightmagenta": "bright_magenta",
}


def environment(home: Path) -> dict[str, str]:
    """Of a user whose ``genserve`` is this checkout's; nothing else of this machine."""
    programs = home / "bin"
    programs.mkdir(exist_ok=True)
    program = programs / "genserve"
    program.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m exporter "$@"\n')
    program.chmod(0o755)
    inputrc = home / "inputrc"
    inputrc.write_text("set enable-bracketed-paste off\nset enable-meta-key off\n")
    return {
        "PATH": f"{programs}:{os.defpath}",
        "HOME": str(home),
        "INPUTRC": str(inputrc),
        "LANG": "C.UTF-8",
        "TERM": "xterm-256color",
        "CUDA_VISIBLE_DEVICES": "-1",
        "HF_HUB_OFFLINE": "1",
        "PS1": f"{_READY}$ ",
        "PS2": f"{_READY}> ",
    }


class Terminal:
    """bash in a terminal of so many columns; a context manager.

    Attributes:
      screen: what stands there.
    """

    def __init__(self, folder: Path, variables: Mapping[str, str], columns: int = 100, seconds: float = 900):
        self.screen = pyte.Screen(columns, ROWS)
        self._stream = pyte.Stream(self.screen)
        self._folds: list[tuple[int, int]] = []
        self._bash = pexpect.spawn(
            "bash",
            ["--norc", "--noprofile", "--noediting", "-i"],
            cwd=str(folder),
            env=dict(variables),
            dimensions=(ROWS, columns),
            encoding="utf-8",
            timeout=seconds,
        )
        self._until(re.escape(_READY) + r"[$>] ")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bash.close(force=True)

    def run(self, *lines: str, most: int = ROWS) -> None:
        """A command, of one line or several, to its end; of what it says the picture shows ``most`` lines."""
        for line in lines:
            start = self.screen.cursor.y + 1
            self.type(line, re.escape(_READY) + r"[$>] ")
        if self.screen.cursor.y - start > most:
            self._folds.append((start + most - 1, self.screen.cursor.y))

    def type(self, line: str, until: str) -> None:
        """A line for whatever reads now; waits for the regular expression ``until``."""
        self._bash.sendline(line)
        self._until(until)

    def _until(self, pattern: str) -> None:
        try:
            self._bash.expect(pattern)
        except (pexpect.TIMEOUT, pexpect.EOF) as error:
            raise RuntimeError(f"waited for {pattern!r}; there came: {self._bash.before}") from error
        self._stream.feed(self._bash.before + self._bash.after)

    def text(self) -> str:
        """The screen, without what is folded away."""
        return "\n".join(line.plain for line in self._lines())

    def svg(self, title: str) -> str:
        """A picture that needs nothing from elsewhere."""
        console = Console(
            record=True, width=self.screen.columns, file=io.StringIO(), force_terminal=True,
            color_system="truecolor", highlight=False,
        )  # fmt: skip
        for line in self._lines():
            console.print(line, no_wrap=True, overflow="ignore", crop=False)
        return without_fonts(console.export_svg(title=title, unique_id="terminal"))

    def _lines(self) -> Iterator[Text]:
        """Rows down to the last one that is not empty; the prompt that waits there is left out."""
        shown = self.screen.display
        last = max(row for row in range(ROWS) if shown[row].strip() not in ("", "$"))
        row = 0
        for start, end in [*self._folds, (last + 1, last + 1)]:
            for number in range(row, start):
                yield _line(self.screen.buffer[number], self.screen.columns)
            if end > start:
                yield Text(f"... {end - start} more lines", style="dim")
            row = end


def without_fonts(svg: str) -> str:
    """Without the addresses from which rich's pictures get a font; any monospaced one has the right width."""
    return re.sub(r"@font-face\s*\{[^}]*\}\s*", "", svg)


def _line(cells: Mapping[int, Any], columns: int) -> Text:
    text = Text()
    for style, same in groupby((cells[column] for column in range(columns)), _style):
        text.append("".join(cell.data for cell in same), style)
    text.rstrip()
    return text


def _style(cell: Any) -> Style:
    return Style(
        color=_colour(cell.fg),
        bgcolor=_colour(cell.bg),
        bold=cell.bold,
        italic=cell.italics,
        underline=cell.underscore,
        reverse=cell.reverse,
    )


def _colour(name: str) -> str | None:
    """``"red"``, ``"brightred"`` or ``"ff8700"`` -> what rich calls it."""
    if name in _COLOURS:
        return _COLOURS[name]
    if re.fullmatch("[0-9a-f]{6}", name):
        return f"#{name}"
    return name.replace("bright", "bright_")
