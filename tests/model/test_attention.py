"""What attention makes of its input."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from exporter.model.attention import project, project_borrower
from exporter.model.rotary import Turning, position_at
from exporter.spec import AttentionSpec, NormKind, NormSpec, QkNormScope, RotarySpec

HEADS, KV_HEADS, SIZE, HIDDEN = 4, 2, 8, 16
SPEC = AttentionSpec(
    HEADS, KV_HEADS, SIZE, 1.0, rotary=RotarySpec(SIZE, 10_000.0), clip=0.3, position_scale=(0.1, 2)
)
NORM = NormSpec(NormKind.RMS, 1e-6)


@pytest.mark.parametrize(
    ("more", "scale"),
    [
        ({}, SIZE),
        ({"qk_norm": NORM}, SIZE),
        ({"qk_norm": NORM, "qk_norm_last": True}, SIZE),
        ({"qk_norm": NORM, "qk_norm_scope": QkNormScope.ALL}, HEADS * SIZE),
    ],
)
def test_a_borrowing_layers_queries_are_made_as_any_others(more: dict[str, object], scale: int) -> None:
    rng = np.random.default_rng(0)
    x = tf.constant(rng.normal(size=[2, 5, HIDDEN]), tf.float32)
    kernel = rng.normal(size=[HIDDEN, (HEADS + 2 * KV_HEADS) * SIZE]).astype(np.float32)
    spec = replace(SPEC, **more)  # type: ignore[arg-type]
    scales = rng.normal(size=[scale]).astype(np.float32)
    weights = {
        "attention.qkv.kernel": tf.constant(kernel),
        "attention.q.kernel": tf.constant(kernel[:, : HEADS * SIZE]),
        "attention.q_norm.scale": tf.constant(scales),
        "attention.k_norm.scale": tf.constant(scales[: KV_HEADS * SIZE]),
    }
    positions = tf.range(5)[tf.newaxis] + tf.constant([[0], [3]])
    position = position_at(Turning.of(spec), positions, positions + 1)
    own, *_ = project(x, weights, spec, position)
    borrowing = project_borrower(x, weights, replace(spec, borrowed=0), position)
    np.testing.assert_allclose(borrowing, own, rtol=1e-5, atol=1e-6)
