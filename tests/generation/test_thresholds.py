"""Cutoffs and top-k against sorting, with ties, masked keys and extreme values, on both targets."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from exporter.choices import Target
from exporter.generation import warpers
from exporter.generation.thresholds import find_cutoff
from exporter.generation.topk import BLOCK, largest
from exporter.targets import compiled_for

TARGETS: tuple[Target, ...] = ("cpu", "gpu")


def compiled(target: Target, function: Callable[..., Any]) -> Callable[..., Any]:
    """``function`` compiled for a target."""

    def traced(*args: Any) -> Any:
        with compiled_for(target):
            return function(*args)

    return tf.function(traced, jit_compile=True, autograph=False)


def keep_count(keys: tf.Tensor, k: tf.Tensor) -> tf.Tensor:
    return keys > find_cutoff(keys, k).low


def keep_mass(keys: tf.Tensor, target: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    return keys > find_cutoff(keys, target, weights).low


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


@pytest.mark.parametrize("target", TARGETS)
def test_count_keeps_the_k_largest_and_their_ties(full: bool, target: Target) -> None:
    keep = compiled(target, keep_count)

    @settings(max_examples=examples(full), deadline=None, derandomize=True)
    @given(keys=ROWS, k=st.integers(1, 17))
    def check(keys: np.ndarray, k: int) -> None:
        kept = keep(keys, tf.constant(float(k))).numpy()
        kth = np.sort(keys, axis=1)[:, -k, None]
        np.testing.assert_array_equal(kept, (keys >= kth) & ~np.isneginf(keys))

    check()


@pytest.mark.parametrize("target", TARGETS)
def test_mass_keeps_the_smallest_sufficient_set_and_its_ties(full: bool, target: Target) -> None:
    """Weights are small integers, so sums are exact and the answer is unambiguous."""
    keep = compiled(target, keep_mass)

    @settings(max_examples=examples(full), deadline=None, derandomize=True)
    @given(keys=ROWS, weights=WEIGHTS, share=st.floats(0.01, 1))
    def check(keys: np.ndarray, weights: np.ndarray, share: float) -> None:
        masses = np.where(np.isneginf(keys), 0, weights).astype(np.float32)
        # Every row has some mass, or there is nothing to reach.
        masses[:, 0] += ~np.isneginf(keys[:, 0])
        mass = np.ceil(masses.sum(1, keepdims=True) * np.float32(share)).astype(np.float32)
        kept = keep(keys, mass, masses).numpy()
        for row in np.flatnonzero(mass[:, 0] > 0):
            above = np.array([masses[row][keys[row] > key].sum() for key in keys[row]])
            np.testing.assert_array_equal(kept[row], (above < mass[row]) & ~np.isneginf(keys[row]))

    check()


@pytest.mark.parametrize("target", TARGETS)
def test_budget_keeps_the_largest_affordable_set(full: bool, target: Target) -> None:
    keep = compiled(target, keep_budget)

    @settings(max_examples=examples(full), deadline=None, derandomize=True)
    @given(keys=ROWS, weights=WEIGHTS.map(lambda w: w + 1), budget=st.integers(0, 60))
    def check(keys: np.ndarray, weights: np.ndarray, budget: int) -> None:
        masses = np.where(np.isneginf(keys), 0, weights).astype(np.float32)
        kept = keep(keys, np.full((3, 1), budget, np.float32), masses).numpy()
        for row in range(3):
            upto = np.array([masses[row][keys[row] >= key].sum() for key in keys[row]])
            np.testing.assert_array_equal(kept[row], (upto <= budget) & ~np.isneginf(keys[row]))

    check()


@pytest.mark.parametrize("target", TARGETS)
def test_an_infinite_target_keeps_everything(target: Target) -> None:
    keys = np.array([[1.0, 2.0, -np.inf]], np.float32)
    assert compiled(target, keep_count)(keys, tf.constant(np.inf, tf.float32)).numpy().tolist() == [
        [True, True, False]
    ]


def test_ties_at_the_cutoff_are_all_kept() -> None:
    logits = tf.constant([[0.0, 3.0, 1.0, 1.0, 1.0, -2.0]])
    assert np.isfinite(warpers.top_k(logits, 2.0))[0].tolist() == [False, True, True, True, True, False]
    assert np.isfinite(warpers.top_p(logits, 0.75))[0].tolist() == [False, True, True, True, True, False]


# One value, the largest and smallest floats, neighbours of zero, ties.
EXTREMES = [0.0, -0.0, 1.0, -np.inf, 3.4028235e38, -3.4028235e38, 2.0**-126, -(2.0**-126), 1.5 * 2.0**-126]


def test_both_targets_find_the_same_interval() -> None:
    """With weights the cutoff is one number, whatever the search; with counts it parts the same keys."""

    def intervals(keys: tf.Tensor, weights: tf.Tensor, target: tf.Tensor, inclusive: bool) -> list[tf.Tensor]:
        counted = find_cutoff(keys, target, inclusive=inclusive)
        return [*find_cutoff(keys, target, weights, inclusive=inclusive), *(keys > end for end in counted)]

    rng = np.random.default_rng(0)
    for inclusive in (True, False):
        searches = [compiled(target, partial(intervals, inclusive=inclusive)) for target in TARGETS]
        for turn in range(20):
            keys = rng.normal(size=(64, 17), scale=10.0 ** (turn % 5 - 2)).astype(np.float32)
            keys = np.where(rng.random(keys.shape) < 0.4, rng.choice(EXTREMES, keys.shape), keys)
            weights = np.where(np.isneginf(keys), 0, rng.integers(0, 9, keys.shape))
            share = np.ceil(weights.sum(1, keepdims=True) * rng.random((64, 1))) + rng.integers(0, 2)
            inputs = [np.float32(part) for part in (keys, weights, np.maximum(share, 1))]
            for halved, by_digits in zip(*(search(*inputs) for search in searches), strict=True):
                np.testing.assert_array_equal(halved, by_digits)


WARPERS: dict[str, Callable[[tf.Tensor], tf.Tensor]] = {
    "top_k": lambda x: warpers.top_k(x, 5.0),
    "top_p": lambda x: warpers.top_p(x, 0.8, 2),
    "top_h": lambda x: warpers.top_h(x, 0.4),
    "typical": lambda x: warpers.typical(x, 0.8),
    "eta": lambda x: warpers.eta(x, 0.02, 3),
}


@pytest.mark.parametrize("name", WARPERS)
def test_warpers_keep_the_same_on_both_targets(name: str) -> None:
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(32, 131), scale=3).astype(np.float32)
    logits[8:16] = np.round(logits[8:16])  # ties
    logits[16:20, ::3] = -np.inf
    logits[20] = 1.5
    logits[21, 1:] = -np.inf
    cpu, gpu = (compiled(target, WARPERS[name])(logits).numpy() for target in TARGETS)
    np.testing.assert_array_equal(cpu, gpu)


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
