"""What stands in the tables of a report's page."""

from __future__ import annotations

import re
from html import unescape

_UNITS = {"ms": 1e-3, "s": 1.0}


def tables(page: str) -> list[list[list[str]]]:
    """Every table: rows of the texts of cells."""
    return [
        [
            [unescape(cell) for cell in re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row)]
            for row in re.findall(r"<tr>(.*?)</tr>", table, re.DOTALL)
        ]
        for table in re.findall(r"<table>(.*?)</table>", page, re.DOTALL)
    ]


def table(page: str, first: str) -> list[dict[str, str]]:
    """The rows of the table whose head begins with ``first``, by its heads."""
    (found,) = (rows for rows in tables(page) if rows[0][0] == first)
    return [dict(zip(found[0], row, strict=True)) for row in found[1:]]


def cards(page: str) -> dict[str, str]:
    """The large figures: what is written below -> figure."""
    return {
        unescape(name): figure
        for figure, name in re.findall(r'<div class="card"><b>(.*?)</b>(.*?)</div>', page)
    }


def in_seconds(shown: str) -> float:
    """``"12.3 ms"`` -> 0.0123."""
    value, unit = shown.split()
    return float(value) * _UNITS[unit]
