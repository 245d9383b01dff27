"""A model with states through the whole pipeline, and its searches beside the reference's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import torch

from exporter.exporting.pipeline import export
from exporter.options import make_options
from tests.families import reference
from tests.families.case import VOCAB
from tests.families.cases import BY_TYPE
from tests.families.test_parity import Builder, assert_close, padded

pytestmark = pytest.mark.parity

NEW, LENGTHS, BUCKET = 6, (3, 8, 5), 8
#: Longer than a chunk of every mechanism, and no multiple of one.
LONG = 150


def beams(oracle: Any, ids: np.ndarray) -> list[int]:
    """What the reference's own beam search writes behind one prompt."""
    with torch.no_grad():
        found = oracle.generate(
            torch.tensor(ids[None].tolist()),
            max_new_tokens=NEW,
            num_beams=3,
            do_sample=False,
            eos_token_id=None,
            pad_token_id=0,
            **reference.beams_cache(oracle),
        )
    return found[0, len(ids) :].tolist()


@pytest.mark.end_to_end
@pytest.mark.parametrize(
    "model_type",
    [
        "qwen3_5_text",
        *(
            pytest.param(name, marks=pytest.mark.full)
            for name in ("lfm2", "falcon_h1", "jamba", "recurrent_gemma", "rwkv")
        ),
    ],
)
def test_beams_of_a_reloaded_export(build: Builder, tmp_path: Path, model_type: str) -> None:
    """Greedy answers are those of tests/families/test_export.py."""
    family = BY_TYPE[model_type]
    oracle = build(family, family.cases[0]).oracle
    checkpoint = reference.save(oracle, tmp_path / "checkpoint")
    reference.edit_config(checkpoint, {"eos_token_id": None, "bos_token_id": None, "pad_token_id": 0})
    (checkpoint / "generation_config.json").unlink(missing_ok=True)
    options = {
        "model": str(checkpoint),
        "name": "tiny",
        "tokenizer": "none",
        "max_new_tokens": NEW,
        "generation": {"num_beams": 3},
        "prompt_lengths": [BUCKET],
        "batch_sizes": [4],
        "warmup": "none",
        "verify": "none",
    }
    version = export(make_options(options), tmp_path / "out").directory
    signature = tf.saved_model.load(str(version)).signatures["tokens"]
    rng = np.random.default_rng(3)
    prompts = [rng.integers(3, VOCAB, length).astype(np.int32) for length in LENGTHS]
    answer = signature(
        input_ids=tf.constant([np.pad(ids, (0, BUCKET - len(ids))) for ids in prompts]),
        num_tokens=tf.constant(LENGTHS),
    )
    assert answer["error"].numpy().tolist() == [b""] * len(LENGTHS)
    for row, ids in enumerate(prompts):
        assert answer["generated_ids"].numpy()[row].tolist() == beams(oracle, ids)


@pytest.mark.parametrize(
    "model_type",
    [
        *("lfm2", "qwen3_5_text", "olmo_hybrid", "falcon_h1", "mamba", "recurrent_gemma", "rwkv"),
        *(pytest.param(name, marks=pytest.mark.full) for name in ("jamba", "nemotron_h", "bamba")),
    ],
)
def test_prompts_of_several_chunks(build: Builder, model_type: str) -> None:
    family = BY_TYPE[model_type]
    built = build(family, family.cases[0])
    ids = np.random.default_rng(5).integers(3, VOCAB, LONG).astype(np.int32)
    logits, _ = built.ours.prefill(padded([ids], (LONG,), LONG + 7), max_new_tokens=1, logits="all")
    assert_close(logits[0, 7:], reference.logits(built.oracle, ids))
