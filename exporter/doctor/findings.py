"""A finding: what was seen, what it means, and what mends it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from exporter.symptoms import recognise

Severity = Literal["good", "note", "warning", "error"]


@dataclass(frozen=True)
class Finding:
    """Attributes:
    id: a name that does not change, for programs.
    severity: "error": it cannot work; "warning": it will hurt; "note" and "good" are for information.
    what: what was seen.
    meaning: what follows from it; empty where that is plain.
    mend: the command or setting that mends it; empty for what needs no mending.
    """

    id: str
    severity: Severity
    what: str
    meaning: str = ""
    mend: str = ""


def failure(id: str, what: str, error: Exception) -> Finding:
    """An error whose message may be a known one."""
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    known = recognise(str(error))
    if known:
        return Finding(known.id, "error", f"{what}: {text}", known.meaning, known.mend)
    return Finding(id, "error", f"{what}: {text}")


def looked_up(message: str) -> Finding:
    """A message that somebody met."""
    known = recognise(message)
    if known:
        return Finding(known.id, "error", message, known.meaning, known.mend)
    return Finding(
        "unknown-message", "note", message, "not a message that genserve knows", "docs/troubleshooting.md"
    )
