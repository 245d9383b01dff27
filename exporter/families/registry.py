"""The table of families, and model types that are refused with a reason."""

from __future__ import annotations

from exporter.families import gpt2
from exporter.families.family import Family

FAMILIES: dict[str, Family] = {
    "gpt2": gpt2.GPT2,
}

REFUSED: dict[str, str] = {}
