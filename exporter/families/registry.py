"""The table of families, and model types that are refused with a reason."""

from __future__ import annotations

from exporter.families import gpt2, llama
from exporter.families.family import Family

FAMILIES: dict[str, Family] = {
    "gpt2": gpt2.GPT2,
    "llama": llama.LLAMA,
    "mistral": llama.MISTRAL,
    "qwen2": llama.QWEN2,
    "qwen3": llama.QWEN3,
}

REFUSED: dict[str, str] = {}
