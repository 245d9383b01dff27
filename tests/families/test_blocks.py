"""Prompts read in many small blocks against the PyTorch reference: every kind of bias, made for the GPU."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from exporter.model import blocks
from exporter.targets import compiled_for
from tests.families import reference
from tests.families.case import every_case
from tests.families.cases import FAMILIES, Case, FamilyCases
from tests.families.test_parity import LENGTHS, NEW, Builder, assert_close, padded, sequences

pytestmark = pytest.mark.parity

#: Buckets of one block, of whole blocks, and of others.
SIZE, BUCKETS = 5, (12, 15, 16)
QUICK = {
    "gpt2": "learned positions",
    "bloom": "ALiBi",
    "falcon": "ALiBi, rounded",
    "mistral": "windows",
    "gemma2": "soft caps, every other layer windowed",
    "gpt_oss": "sinks, windows, a mixture",
    "llama4_text": "chunks",
    "qwen3_moe": "a mixture",
}
CASES = every_case(FAMILIES, QUICK.keys())


@pytest.fixture(autouse=True)
def many_blocks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(blocks.BLOCK, "gpu", SIZE)
    with compiled_for("gpu"):
        yield


@pytest.mark.parametrize(("family", "case"), CASES)
def test_prefill_logits_of_every_position(build: Builder, family: FamilyCases, case: Case) -> None:
    built, rows = build(family, case), sequences()
    expected = [
        reference.logits(built.oracle, row[:length]) for row, length in zip(rows, LENGTHS, strict=True)
    ]
    for bucket in BUCKETS:
        logits, _ = built.ours.prefill(padded(rows, LENGTHS, bucket), max_new_tokens=NEW, logits="all")
        for row, length in enumerate(LENGTHS):
            assert_close(logits[row, bucket - length :], expected[row])
