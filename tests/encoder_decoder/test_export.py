"""Every family through the whole pipeline: exported, reloaded without our code, and asked for tokens."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from exporter.exporting.pipeline import export
from exporter.options import make_options
from tests.encoder_decoder.cases import FAMILIES
from tests.encoder_decoder.test_generation import expected
from tests.families.case import VOCAB, Case, FamilyCases, tiered
from tests.families.conftest import Built
from tests.families.reference import save

pytestmark = [pytest.mark.parity, pytest.mark.end_to_end]

NEW, LENGTHS, BUCKETS = 8, (3, 8, 5), [4, 8]
# The demo's T5 is exported in the quick run too; the others take their time in the full one.
QUICK = {"bart"}

_SCRIPT = """
import json, sys
import tensorflow as tf
signature = tf.saved_model.load(sys.argv[1]).signatures["tokens"]
prompts = json.loads(sys.argv[2])
answer = signature(
    input_ids=tf.constant([ids + [0] * (int(sys.argv[3]) - len(ids)) for ids in prompts]),
    num_tokens=tf.constant([len(ids) for ids in prompts]),
)
heavy = {"exporter", "transformers", "torch"} & set(sys.modules)
print(json.dumps([sorted(heavy), answer["generated_ids"].numpy().tolist()]))
"""


@pytest.mark.parametrize("family", tiered(FAMILIES, QUICK))
def test_reloaded_export_answers_as_the_reference(
    build: Callable[[FamilyCases, Case], Built], tmp_path: Path, family: FamilyCases
) -> None:
    oracle = build(family, family.cases[0]).oracle
    checkpoint = save(oracle, tmp_path / "checkpoint")
    options = {
        "model": str(checkpoint),
        "name": "tiny",
        "tokenizer": "none",
        "max_new_tokens": NEW,
        "prompt_lengths": BUCKETS,
        "batch_sizes": [1, 4],
        "warmup": "none",
    }
    exported = export(make_options(options), tmp_path / "out")
    rng = np.random.default_rng(3)
    prompts = [rng.integers(3, VOCAB, length).tolist() for length in LENGTHS]
    arguments = [str(exported.directory), json.dumps(prompts), str(BUCKETS[-1])]
    command = [sys.executable, "-c", _SCRIPT, *arguments]
    found = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path).stdout
    heavy, ids = json.loads(found.splitlines()[-1])
    assert heavy == []
    pad = exported.manifest.generation["pad_token_id"]
    for row, prompt in enumerate(prompts):
        assert ids[row] == expected(oracle, prompt, pad)[0].tolist()
