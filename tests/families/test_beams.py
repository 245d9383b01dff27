"""Beam search of every family against the reference's, on each prompt alone: the cache follows its beams."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from exporter.checkpoint import Checkpoint
from exporter.generation import generate
from exporter.generation.generation_options import resolve_options
from exporter.generation.rows import default_rows
from tests.families import reference
from tests.families.case import Case, FamilyCases, tiered
from tests.families.cases import FAMILIES
from tests.families.conftest import Built
from tests.families.test_parity import BUCKET, LENGTHS, NEW, padded, sequences

pytestmark = pytest.mark.parity

BEAMS = {"num_beams": 3, "do_sample": False, "eos_token_id": 50, "pad_token_id": 0, "max_new_tokens": NEW}
# The search itself is tested with tests/generation; here is what a layer does with values of several rows.
QUICK = {"diffllama"}


@pytest.mark.parametrize("family", tiered(FAMILIES, QUICK))
def test_beams(build: Callable[[FamilyCases, Case], Built], family: FamilyCases) -> None:
    built, rows = build(family, family.cases[0]), sequences()
    options = resolve_options(
        {},
        Checkpoint(built.path).config,
        BEAMS,
        vocab_size=built.ours.vocab_size,
        is_encoder_decoder=False,
        context_length=built.ours.spec.context_length,
    )
    prompt = padded(rows, LENGTHS, BUCKET)
    answers = generate(built.ours, prompt, options, default_rows(options, len(rows)), row_options=False)
    for answer, ids, length in zip(answers.sequences.numpy(), rows, LENGTHS, strict=True):
        tokens = torch.tensor(ids[None, :length], dtype=torch.long)
        with torch.no_grad():
            mask, cache = torch.ones_like(tokens), reference.beams_cache(built.oracle)
            found = built.oracle.generate(tokens, attention_mask=mask, **BEAMS, **cache)
        wanted = found[0, length:].tolist()
        assert answer[0].tolist() == wanted + [0] * (NEW - len(wanted))
