"""Commands of genserve as the real command line reads them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import typer.main

from exporter.cli import app

_VERBS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def parse(command: Sequence[str]) -> None:
    """Reads the words behind ``genserve``; nothing is run. Raises what it says of wrong ones."""
    verb, *arguments = command
    assert verb in _VERBS, f"genserve {verb}"
    _VERBS[verb].make_context(verb, list(arguments))
