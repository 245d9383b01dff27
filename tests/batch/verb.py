"""Runs of ``genserve batch`` and what they leave."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from exporter.cli import app


def run(*arguments: object) -> Any:
    """A run in this process that ends well; its errors are raised."""
    result = CliRunner().invoke(app, ["batch", *map(str, arguments)], env={"COLUMNS": "200"})
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result


def records(output: Path, kind: str) -> Iterator[dict[str, Any]]:
    """The rows of all files of a kind, in order."""
    for path in sorted(output.glob(f"{kind}-*.jsonl")):
        yield from map(json.loads, path.read_text().splitlines())


def by_id(output: Path) -> dict[str, Any]:
    """The answers by their ids."""
    return {record["id"]: record for record in records(output, "answers")}
