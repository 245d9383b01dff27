"""The keys of ``--json`` as docs/command-line.md has them."""

from __future__ import annotations

import re

from tests.conftest import ROOT


def documented_keys(verb: str) -> set[str]:
    """The first column of the table under ``### genserve VERB --json``."""
    text = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")
    section = text.split(f"### `genserve {verb} --json`\n")[1].split("\n#")[0]
    return {name for row in re.findall(r"(?m)^\| (`.*?) \|", section) for name in re.findall(r"`(\w+)`", row)}
