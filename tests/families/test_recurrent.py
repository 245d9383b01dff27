"""What RecurrentGemma and RWKV 4 keep to themselves: rounded scales, halved weights, large exponents."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import torch
from transformers import RecurrentGemmaConfig
from transformers.models.rwkv.modeling_rwkv import rwkv_linear_attention_cpu

from exporter.checkpoint import Checkpoint
from exporter.errors import UnsupportedError
from exporter.families import load_weights, read_spec
from exporter.model import rwkv
from exporter.model.state import scanned
from tests.families import reference
from tests.families.cases import BY_TYPE
from tests.families.half_precision import DTYPES, reference_in
from tests.families.test_parity import Builder

pytestmark = pytest.mark.parity

GEMMA = {"model_type": "recurrent_gemma", "hidden_size": 32, "num_attention_heads": 4}


def test_the_scale_of_embeddings_is_a_number_of_bfloat16() -> None:
    for hidden in (1, 2, 32, 2560, 4096, 66049, *range(1000, 1100)):
        spec = read_spec({**GEMMA, "hidden_size": hidden, "num_attention_heads": 1})
        assert spec.decoder.embedding.scale == torch.tensor(hidden**0.5, dtype=torch.bfloat16).item()


@pytest.mark.parametrize("part", [{}, {"partial_rotary_factor": 0.25}, {"partial_rotary_factor": None}])
def test_how_much_of_a_head_turns(part: dict[str, Any]) -> None:
    config = {**GEMMA, **part}
    theirs = RecurrentGemmaConfig(**config).rope_parameters.get("partial_rotary_factor", 1.0)
    turning = read_spec(config).decoder.attentions[0].rotary
    assert turning is not None
    assert turning.dim == 8 * theirs


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rope_scaling": {"type": "linear", "factor": 2.0}}, "rope_scaling.type='linear' is not supported"),
        ({"lru_width": 30}, "lru_width=30 is not divisible by num_attention_heads=4"),
        ({"intermediate_size": 1}, "intermediate_size=1 must be at least 2"),
        ({"block_types": ["recurrent", "mamba"]}, r"block_types=\['recurrent', 'mamba'\] must hold"),
        ({"logits_soft_cap": 0}, "logits_soft_cap=0 must be above 0"),
    ],
)
def test_what_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UnsupportedError, match=re.compile(message)):
        read_spec({**GEMMA, **changes})


@pytest.mark.parametrize("dtype", DTYPES)
def test_weights_are_halved_as_the_reference_halves_them(build: Builder, dtype: str) -> None:
    family = BY_TYPE["rwkv"]
    built = build(family, family.cases[0])
    half = reference_in(dtype, family, family.cases[0], built.path)
    reference.logits(half, np.array([1, 2, 3], np.int32))
    weights = load_weights(built.ours.spec, Checkpoint(built.path), DTYPES[dtype])
    for index, block in enumerate(half.rwkv.blocks):
        parts = {"state.out": block.attention.output, "mlp.down": block.feed_forward.value}
        for name, part in parts.items():
            ours = weights[f"layers.{index}.{name}.kernel"].astype(np.float32)
            # Next to zero float16 has steps of 2 ** -24; the reference rounds twice there.
            np.testing.assert_allclose(ours, part.weight.detach().float().numpy().T, rtol=0, atol=2.0**-24)
        assert weights[f"layers.{index}.state.decay"].dtype == np.dtype(
            np.float32 if dtype == "float16" else DTYPES[dtype]
        )


@pytest.mark.parametrize("length", [1, 31, 70])
def test_exponents_that_no_float_holds(length: int) -> None:
    rng = np.random.default_rng(0)
    key, value = (rng.normal(0, scale, (2, length, 6)).astype(np.float32) for scale in (150.0, 1.0))
    decay, bonus = (rng.normal(0, scale, 6).astype(np.float32) for scale in (2.0, 30.0))
    tensors = (torch.tensor(part) for part in (decay, bonus, key, value))
    expected, state = rwkv_linear_attention_cpu(*tensors, return_state=True)
    there = tf.ones([2, length, 1])
    step = rwkv._chunk(-tf.exp(decay), tf.constant(bonus))
    inputs = (there, tf.constant(key), tf.constant(value))
    read, memory = scanned(step, tf.zeros([2, 3, 6]), inputs, (6,), rwkv.CHUNK)
    np.testing.assert_allclose(read, expected.numpy(), atol=2e-4)
    np.testing.assert_allclose(memory, torch.stack(state, 1).numpy(), rtol=2e-4, atol=2e-4)
