"""ALiBi: the slopes of any number of heads, and falcon's rounding where it begins to show."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf
import torch
from transformers.models.bloom.modeling_bloom import build_alibi_tensor
from transformers.models.mpt.modeling_mpt import build_mpt_alibi_tensor

from exporter.families.alibi import halved_slopes, interleaved_slopes
from exporter.generation.step import Prompt
from tests.families import reference
from tests.families.case import VOCAB, Case, FamilyCases
from tests.families.cases import BY_TYPE
from tests.families.conftest import Built

HEADS = [1, 2, 3, 4, 6, 7, 8, 12, 16, 25, 32, 71, 112]


@pytest.mark.parametrize("heads", HEADS)
def test_interleaved_slopes(heads: int) -> None:
    expected = build_alibi_tensor(torch.ones([1, 2]), heads, torch.float32)[:, 0, 1]  # position 1
    np.testing.assert_allclose(interleaved_slopes(heads), expected.numpy(), rtol=1e-6)


@pytest.mark.parametrize("heads", HEADS)
def test_halved_slopes(heads: int) -> None:
    expected = -build_mpt_alibi_tensor(heads, 2)[:, 0, 0]  # position -1
    np.testing.assert_allclose(halved_slopes(heads), expected.numpy(), rtol=1e-6)


@pytest.mark.parity
def test_falcon_rounds_positions_beyond_256(build: Callable[[FamilyCases, Case], Built]) -> None:
    family = BY_TYPE["falcon"]
    case = next(case for case in family.cases if case.config.get("alibi") and "bias" in case.config)
    built = build(family, case)
    ids = np.random.default_rng(0).integers(3, VOCAB, 300).astype(np.int32)
    logits, _ = built.ours.prefill(Prompt(tf.constant(ids[None]), tf.constant([len(ids)])), max_new_tokens=1)
    expected = reference.logits(built.oracle, ids)[-1]
    assert np.abs(np.asarray(logits[0]) - expected).max() <= 1e-5 * np.ptp(expected)
