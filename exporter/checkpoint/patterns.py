"""Regular expressions that come out of a checkpoint's configuration."""

from __future__ import annotations

import re


def compiles(pattern: str) -> bool:
    """Whether ``re`` takes a pattern."""
    try:
        re.compile(pattern)
    except re.error:
        return False
    return True
