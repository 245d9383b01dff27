"""Rows of a file of prompts: lines of text, or JSON objects with options of their own."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from exporter.errors import OptionError


def read_rows(path: Path) -> list[dict[str, Any]]:
    """A row for every line: ``{"prompt": line}``, or of a ``.jsonl`` file the object; ``-`` is stdin.

    Raises:
      OptionError: the file cannot be read, has no row, or a line that is no JSON object.
    """
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise OptionError(f"--prompts {path} cannot be read: {error}") from error
    # Not splitlines: what else Unicode counts as the end of a line may stand in a prompt, and in JSON.
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not lines:
        raise OptionError(f"--prompts {path}: no prompt")
    if path.suffix.lower() != ".jsonl":
        return [{"prompt": line} for _, line in lines]
    return [_object(path, number, line) for number, line in lines]


def _object(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise OptionError(f"--prompts {path}, line {number}: no JSON: {error}") from None
    if not isinstance(row, dict) or not row:
        raise OptionError(f'--prompts {path}, line {number}: must be an object, such as {{"prompt": "Once"}}')
    return row
