"""Presets that KerasHub saved: what the export computes of them is what KerasHub computes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from exporter.checkpoint import Checkpoint, open_checkpoint
from exporter.checkpoint.keras_hub.preset import Described, Preset, PresetCheckpoint
from exporter.exporting.keras_hub_task import variables_of
from exporter.families import load_weights, read_spec
from exporter.generation.step import Prompt
from exporter.model import build_model
from tests.checkpoint.keras_hub.cases import CASES, VOCAB, Case, build, logits

pytest.importorskip("keras_hub", reason="the extra keras-hub is not installed")
pytestmark = pytest.mark.parity

# Of a row's range of logits; see "What parity means" in docs/design.md.
TOLERANCE = 1e-4


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_logits_are_keras_hubs(case: Case, tmp_path: Path) -> None:
    backbone = build(case)
    backbone.save_to_preset(str(tmp_path))
    _compare(open_checkpoint(tmp_path), backbone)


def test_lora_weights_in_memory_are_merged(tmp_path: Path) -> None:
    backbone, rng = build(next(case for case in CASES if case.name == "llama")), np.random.default_rng(2)
    plain = variables_of(backbone)
    backbone.enable_lora(2)
    for variable in backbone.trainable_weights:
        variable.assign(0.3 * rng.normal(size=variable.shape))
    merged = variables_of(backbone)
    assert merged.keys() == plain.keys()
    described = Described("LlamaBackbone", backbone.get_config())
    _compare(PresetCheckpoint(Preset(described, None, None, None, tmp_path), merged), backbone)


def _compare(checkpoint: Checkpoint, backbone: Any) -> None:
    """Logits of random ids; an encoder reads them backwards."""
    spec = read_spec(checkpoint.config)
    model = build_model(spec, load_weights(spec, checkpoint, "float32"))
    tokens = np.random.default_rng(1).integers(3, VOCAB, 12).astype(np.int32)
    row, length = tf.constant(tokens[None]), tf.constant([len(tokens)])
    source = (tf.reverse(row, [1]), length) if spec.encoder else (None, None)
    ours, _ = model.prefill(Prompt(row, length, *source), max_new_tokens=1, logits="all")
    expected = logits(backbone, tokens)
    error = np.abs(np.asarray(ours[0]) - expected).max(axis=-1) / np.ptp(expected, axis=-1)
    assert error.max() <= TOLERANCE
