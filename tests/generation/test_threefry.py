"""The generator against the published test vectors, and its uniforms."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from exporter.generation.threefry import threefry, uniforms

# Random123 1.14, tests/kat_vectors: threefry2x32, 20 rounds: counter, key, expected.
VECTORS = [
    ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
    ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0x1CB996FC, 0xBB002BE7)),
    ((0x243F6A88, 0x85A308D3), (0x13198A2E, 0x03707344), (0xC4923A9C, 0x483DF7A0)),
]


def words(pair: tuple[int, int]) -> tuple[tf.Tensor, tf.Tensor]:
    return tf.constant(pair[0], tf.uint32), tf.constant(pair[1], tf.uint32)


@pytest.mark.parametrize(("counter", "key", "want"), VECTORS)
@pytest.mark.parametrize("compiled", [False, True])
def test_published_vectors(
    counter: tuple[int, int], key: tuple[int, int], want: tuple[int, int], compiled: bool
) -> None:
    call = tf.function(threefry, jit_compile=compiled)
    assert tuple(int(word) for word in call(words(key), words(counter))) == want


def test_uniforms_depend_on_seed_step_and_draw_alone() -> None:
    seeds = tf.constant([0, 1, 2**40, 2**62, 5], tf.int64)
    together = uniforms(seeds, tf.constant(3), tf.constant(1))
    for row, seed in enumerate(seeds):
        alone = uniforms(seed[None], tf.constant(3), tf.constant(1))
        for got, want in zip(alone, together, strict=True):
            assert float(got[0]) == float(want[row])
    others = [uniforms(seeds, tf.constant(s), tf.constant(d)) for s, d in ((3, 0), (2, 1))]
    for first, second in others:
        assert not np.intersect1d(first, together[0]).size
        assert not np.intersect1d(second, together[1]).size


def test_uniforms_are_uniform_and_independent() -> None:
    first, second = (
        u.numpy() for u in uniforms(tf.range(100_000, dtype=tf.int64), tf.constant(7), tf.constant(0))
    )
    table, _, _ = np.histogram2d(first, second, bins=10, range=[[0, 1], [0, 1]])
    statistic = ((table - 1000) ** 2 / 1000).sum()
    assert statistic < 148.2  # chi-square, 99 degrees of freedom, p = 0.001
    assert first.min() >= 0
    assert first.max() < 1
