"""docs/signatures.md as data: every signature's inputs and outputs, to compare a version's with."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache

from exporter.manifest import Manifest, TensorInfo
from tests.conftest import ROOT

#: Name -> dtype, and the second dimension as the page calls it ("" without one).
Fields = dict[str, tuple[str, str]]
_DTYPE = "(string|int32|int64|float32|bool)"
_ITEM = re.compile(rf"((?:`\w+`(?:, )?)+) {_DTYPE}(?: `\[batch, ([\w']+)\]`)?")
#: Outputs that an export may ask for, of any signature ("On request").
_ON_REQUEST = {"score", "prompt_tokens", "truncated", "logprobs", "top_tokens", "top_logprobs", "reasoning"}


def differences(manifest: Manifest) -> list[str]:
    """How the version's signatures differ from what the page says; a preset is as ``serving_default``."""
    known = documented()
    longest, most = manifest.buckets.prompt_lengths[-1], manifest.max_new_tokens
    piece = min(manifest.options.get("resume_piece", most), most)
    sizes = {"W": longest, "T": most, "max_new_tokens": most, "W'": longest + most, "P": piece, "129": 129}
    found = []
    for name, signature in manifest.signatures.items():
        inputs, outputs = known.get(name, known["serving_default"])
        if name in known and inputs:  # a template's inputs are its fields
            found += _compared(name, signature.inputs, inputs, sizes, allowed={"guide"})
        several = any(len(info.shape) > 1 for info in signature.outputs.values())
        if name in known or not several:
            found += _compared(name, signature.outputs, outputs, sizes, allowed=_ON_REQUEST)
    return found


def _compared(
    signature: str,
    actual: Mapping[str, TensorInfo],
    expected: Fields,
    sizes: Mapping[str, int],
    allowed: set[str],
) -> list[str]:
    found = [f"{signature}: {name} is not documented" for name in actual.keys() - expected.keys() - allowed]
    found += [f"{signature}: there is no {name}" for name in expected.keys() - actual.keys()]
    for name in actual.keys() & expected.keys():
        info, (dtype, size) = actual[name], expected[name]
        if info.dtype != dtype or len(info.shape) != 1 + bool(size):
            found.append(f"{signature}: {name} is {info.dtype}{list(info.shape)}")
        if size in sizes and info.shape[1] not in (None, sizes[size]):
            found.append(f"{signature}: {name} has {info.shape[1]} columns, {size} is {sizes[size]}")
    return found


@cache
def documented() -> dict[str, tuple[Fields, Fields]]:
    """Signature -> its inputs and outputs; no inputs where they are an export's own."""
    page = (ROOT / "docs" / "signatures.md").read_text(encoding="utf-8")
    rows = {
        "every per-row option": _options(page, "`generate`"),
        "list of ids": _options(page, "`generate_tokens`"),
    }
    known: dict[str, tuple[Fields, Fields]] = {}
    for name, *cells in re.findall(r"(?m)^\| `(\w+)` \| (.*) \| (.*) \|$", page.split("\n### ")[0]):
        inputs, outputs = (_cell(cell, known, rows, side) for side, cell in enumerate(cells))
        known[name] = inputs, outputs
    return known


def _options(page: str, section: str) -> Fields:
    """The table of inputs under the heading of a signature."""
    part = page.split(f"\n## {section}: ")[1].split("\n## ")[0]
    fields: Fields = {}
    for names, dtypes, size in re.findall(r"(?m)^\| (`.*?`) \| ([\w, ]+?)(?: `\[batch, (\w+)\]`)? \|", part):
        for name, dtype in zip(names.split(", "), dtypes.split(", "), strict=True):
            fields[name.strip("`")] = dtype, size
    return fields


def _cell(
    cell: str, known: Mapping[str, tuple[Fields, Fields]], rows: Mapping[str, Fields], side: int
) -> Fields:
    """What a cell lists; what stands behind a semicolon or in brackets is there on request."""
    always = re.sub(r"\(.*?\)", "", cell).partition(";")[0]
    fields: Fields = {}
    for name in re.findall(r"as `(\w+)`", always):
        fields |= known[name][side]
    for words, options in rows.items():
        fields |= options if words in always else {}
    for names, dtype, size in _ITEM.findall(always):
        fields |= dict.fromkeys(re.findall(r"`(\w+)`", names), (dtype, size))
    return fields
