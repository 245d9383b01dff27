"""Generation with every family against transformers' ``generate`` on each prompt alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import torch

from exporter.checkpoint import Checkpoint
from exporter.generation import generate
from exporter.generation.generation_options import GenerationOptions, resolve_options
from exporter.generation.rows import default_rows
from exporter.generation.step import Prompt
from tests.encoder_decoder import reference
from tests.encoder_decoder.cases import FAMILIES
from tests.encoder_decoder.test_parity import Row, right_padded, sequences
from tests.families.case import Case, FamilyCases
from tests.families.conftest import Built

pytestmark = pytest.mark.parity

NEW = 8
Builder = Callable[[FamilyCases, Case], Built]

SEARCHES: dict[str, dict[str, Any]] = {
    "greedy": {},
    "penalties": {
        "encoder_no_repeat_ngram_size": 2,
        "encoder_repetition_penalty": 1.5,
        "repetition_penalty": 1.3,
        "no_repeat_ngram_size": 2,
        "forced_bos_token_id": 7,
        "min_new_tokens": 3,
    },
    "beams": {"num_beams": 3, "num_return_sequences": 2, "length_penalty": 2.0, "forced_bos_token_id": 9},
}
# One of each mechanism in the quick run.
QUICK = {"t5", "bart", "marian", "m2m_100"}
RUNS = [
    pytest.param(
        family,
        search,
        id=f"{family.model_type}-{search}",
        marks=[] if family.model_type in QUICK else [pytest.mark.full],
    )
    for family in FAMILIES
    for search in SEARCHES
    if search == "greedy" or family.model_type in {"t5", "bart"}
]


def ours(built: Built, rows: list[Row], bucket: int, options: GenerationOptions, compiled: bool) -> Any:
    """int32 [batch, n, NEW]."""

    @tf.function(jit_compile=compiled, autograph=False)
    def run(prompt: Prompt) -> tf.Tensor:
        return generate(
            built.ours, prompt, options, default_rows(options, len(rows)), row_options=False
        ).sequences

    start = tf.fill([len(rows), 1], options.decoder_start_token_id)
    lengths = tf.constant([len(row.source) for row in rows])
    source = right_padded([row.source for row in rows], bucket)
    return run(Prompt(start, tf.ones([len(rows)], tf.int32), source, lengths)).numpy()


def expected(oracle: Any, source: Any, pad: int, **options: Any) -> Any:
    """int [n, NEW]: without the start token, padded as ours are."""
    with torch.no_grad():
        found = oracle.generate(
            reference.ids(source),
            attention_mask=torch.ones(1, len(source)),
            max_new_tokens=NEW,
            do_sample=False,
            **options,
        )[:, 1:].numpy()
    return np.pad(found, [(0, 0), (0, NEW - found.shape[1])], constant_values=pad)


@pytest.mark.parametrize(("family", "search"), RUNS)
def test_sequences(build: Builder, family: FamilyCases, search: str) -> None:
    built, rows, changes = build(family, family.cases[0]), sequences(), SEARCHES[search]
    checkpoint = Checkpoint(built.path)
    options = resolve_options(
        checkpoint.generation_config,
        checkpoint.config,
        {"max_new_tokens": NEW, "do_sample": False, **changes},
        vocab_size=built.ours.vocab_size,
        is_encoder_decoder=True,
        context_length=built.ours.spec.context_length,
    )
    answers = ours(built, rows, 13, options, compiled=family.model_type == "t5")
    for answer, row in zip(answers, rows, strict=True):
        wanted = expected(built.oracle, row.source, options.pad_token_id, **changes)
        assert answer.tolist() == wanted.tolist()
