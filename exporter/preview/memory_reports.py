"""What XLA's dumps say of a compiled program's memory."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

#: Has XLA write a report of every program it compiles into a folder, beside much else.
FLAG = "--xla_dump_to="
_REPORTS = "*buffer-assignment.txt"
_ALLOCATION = re.compile(r"^allocation \d+: size (\d+), (.*)$", re.MULTILINE)


@dataclass(frozen=True)
class ProgramMemory:
    """Bytes of a compiled program's buffers.

    Attributes:
      arguments: what it is called with, weights included.
      results: what it answers.
      temporaries: everything else, keys and values of a decode loop included.
    """

    arguments: int
    results: int
    temporaries: int


def read_report(text: str) -> ProgramMemory:
    """Sums the allocations of XLA's buffer assignment (``BufferAssignment::ToString``)."""
    sizes = {"arguments": 0, "results": 0, "temporaries": 0}
    for size, what in _ALLOCATION.findall(text.partition("\nTotal bytes used")[0]):
        if what.startswith("parameter"):
            sizes["arguments"] += int(size)
        elif "maybe-live-out" in what:
            sizes["results"] += int(size)
        elif "thread-local" not in what and "constant" not in what:
            sizes["temporaries"] += int(size)
    return ProgramMemory(**sizes)


def take_largest(folder: Path) -> ProgramMemory | None:
    """Of the programs compiled since the last call the one with most temporaries; empties ``folder``."""
    found = [read_report(path.read_text(encoding="utf-8")) for path in folder.glob(_REPORTS)]
    for path in folder.iterdir():
        path.unlink()
    return max(found, key=lambda memory: memory.temporaries, default=None)
