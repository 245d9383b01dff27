"""Every family through the whole pipeline: exported, reloaded, and asked for tokens."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from exporter.checkpoint import Checkpoint
from exporter.exporting.pipeline import export
from exporter.options import make_options
from tests.families import reference
from tests.families.case import VOCAB, Case, FamilyCases, tiered
from tests.families.cases import FAMILIES
from tests.families.conftest import Built

pytestmark = [pytest.mark.parity, pytest.mark.end_to_end]

NEW, LENGTHS, BUCKETS = 6, (3, 8, 5), [4, 8]
# ALiBi, windows with experts, the router of DeepSeek-V3, a state; the others take their time in the full run.
QUICK = {"bloom", "gpt_oss", "glm4_moe", "qwen3_5_text"}


@pytest.mark.parametrize("family", tiered(FAMILIES, QUICK))
def test_reloaded_export_answers_as_the_reference(
    build: Callable[[FamilyCases, Case], Built], tmp_path: Path, family: FamilyCases
) -> None:
    oracle = build(family, family.cases[0]).oracle
    checkpoint = reference.save(oracle, tmp_path / "checkpoint")
    # The real special ids are out of this vocabulary; without an end every row has the same length.
    ends = {"eos_token_id": None, "bos_token_id": None, "pad_token_id": 0}
    text = Checkpoint(checkpoint).config.get("text_config")
    reference.edit_config(checkpoint, {**ends, "text_config": {**text, **ends}} if text else ends)
    (checkpoint / "generation_config.json").unlink(missing_ok=True)
    options = {
        "model": str(checkpoint),
        "name": "tiny",
        "tokenizer": "none",
        "max_new_tokens": NEW,
        "prompt_lengths": BUCKETS,
        "batch_sizes": [1, 4],
        "warmup": "none",
    }
    version = export(make_options(options), tmp_path / "out").directory
    signature = tf.saved_model.load(str(version)).signatures["tokens"]
    rng = np.random.default_rng(3)
    prompts = [rng.integers(3, VOCAB, length).astype(np.int32) for length in LENGTHS]
    answer = signature(
        input_ids=tf.constant([np.pad(ids, (0, BUCKETS[-1] - len(ids))) for ids in prompts]),
        num_tokens=tf.constant(LENGTHS),
    )
    assert answer["error"].numpy().tolist() == [b""] * len(LENGTHS)
    for row, ids in enumerate(prompts):
        assert answer["generated_ids"].numpy()[row].tolist() == reference.greedy(oracle, ids, NEW)
