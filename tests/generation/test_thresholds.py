"""Cutoffs and top-k against sorting, with ties, masked keys and extreme values."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from exporter.generation import warpers
from exporter.generation.thresholds import find_cutoff
from exporter.generation.topk import BLOCK, largest


@tf.function(jit_compile=True)
def keep_count(keys: tf.Tensor, k: tf.Tensor) -> tf.Tensor:
    return keys > find_cutoff(keys, k).low


@tf.function(jit_compile=True)
def keep_mass(keys: tf.Tensor, target: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    return keys > find_cutoff(keys, target, weights).low


@tf.function(jit_compile=True)
def keep_budget(keys: tf.Tensor, target: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    return keys > find_cutoff(keys, target, weights, inclusive=False).high


FLOATS = st.one_of(
    st.sampled_from([0.0, 1.0, -1.0, -np.inf, 3e38, -3.4028235e38, 1e-20, 2e-20, -1e-20]),
    # XLA takes subnormal numbers for zero.
    st.floats(-50, 50, width=32).map(lambda x: np.float32(0) if abs(x) < 1e-20 else x),
)
ROWS = hnp.arrays(np.float32, (3, 17), elements=FLOATS)
WEIGHTS = hnp.arrays(np.int32, (3, 17), elements=st.integers(0, 9))


def examples(full: bool) -> int:
    return 3000 if full else 200


def test_count_keeps_the_k_largest_and_their_ties(full: bool) -> None:
    @settings(max_examples=examples(full), deadline=None, derandomize=True)
    @given(keys=ROWS, k=st.integers(1, 17))
    def check(keys: np.ndarray, k: int) -> None:
        kept = keep_count(keys, tf.constant(float(k))).numpy()
        kth = np.sort(keys, axis=1)[:, -k, None]
        np.testing.assert_array_equal(kept, (keys >= kth) & ~np.isneginf(keys))

    check()


def test_mass_keeps_the_smallest_sufficient_set_and_its_ties(full: bool) -> None:
    """Weights are small integers, so sums are exact and the answer is unambiguous."""

    @settings(max_examples=examples(full), deadline=None, derandomize=True)
    @given(keys=ROWS, weights=WEIGHTS, share=st.floats(0.01, 1))
    def check(keys: np.ndarray, weights: np.ndarray, share: float) -> None:
        masses = np.where(np.isneginf(keys), 0, weights).astype(np.float32)
        # Every row has some mass, or there is nothing to reach.
        masses[:, 0] += ~np.isneginf(keys[:, 0])
        target = np.ceil(masses.sum(1, keepdims=True) * np.float32(share)).astype(np.float32)
        kept = keep_mass(keys, target, masses).numpy()
        for row in np.flatnonzero(target[:, 0] > 0):
            above = np.array([masses[row][keys[row] > key].sum() for key in keys[row]])
            np.testing.assert_array_equal(kept[row], (above < target[row]) & ~np.isneginf(keys[row]))

    check()


def test_budget_keeps_the_largest_affordable_set(full: bool) -> None:
    @settings(max_examples=examples(full), deadline=None, derandomize=True)
    @given(keys=ROWS, weights=WEIGHTS.map(lambda w: w + 1), budget=st.integers(0, 60))
    def check(keys: np.ndarray, weights: np.ndarray, budget: int) -> None:
        masses = np.where(np.isneginf(keys), 0, weights).astype(np.float32)
        target = np.full((3, 1), budget, np.float32)
        kept = keep_budget(keys, target, masses).numpy()
        for row in range(3):
            upto = np.array([masses[row][keys[row] >= key].sum() for key in keys[row]])
            np.testing.assert_array_equal(kept[row], (upto <= budget) & ~np.isneginf(keys[row]))

    check()


def test_an_infinite_target_keeps_everything() -> None:
    keys = np.array([[1.0, 2.0, -np.inf]], np.float32)
    assert keep_count(keys, tf.constant(np.inf, tf.float32)).numpy().tolist() == [[True, True, False]]


def test_ties_at_the_cutoff_are_all_kept() -> None:
    logits = tf.constant([[0.0, 3.0, 1.0, 1.0, 1.0, -2.0]])
    assert np.isfinite(warpers.top_k(logits, 2.0))[0].tolist() == [False, True, True, True, True, False]
    assert np.isfinite(warpers.top_p(logits, 0.75))[0].tolist() == [False, True, True, True, True, False]


def test_extreme_temperature_is_greedy_and_finite() -> None:
    warped = warpers.temperature(tf.constant([[1.0, 5.0, 4.999]]), 1e-30)
    assert tf.nn.softmax(warped).numpy()[0].tolist() == [0.0, 1.0, 0.0]


@pytest.mark.parametrize("size", [5, 130, 3 * BLOCK, 1031])
@pytest.mark.parametrize("k", [1, 2, 5])
@pytest.mark.parametrize("levels", [3, 10**6])
def test_largest_equals_a_stable_sort(size: int, k: int, levels: int) -> None:
    values = np.random.default_rng(k).integers(0, levels, size=(4, size)).astype(np.float32)
    values[1, ::2] = -np.inf
    best, index = tf.function(largest, jit_compile=True)(values, k)
    order = np.argsort(-values, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(index, order)
    np.testing.assert_array_equal(best, np.take_along_axis(values, order, 1))
