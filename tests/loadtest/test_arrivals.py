"""Arrivals are a Poisson process: exponential gaps, counts as spread as their mean, the same from a seed."""

from __future__ import annotations

import numpy as np
import pytest

from exporter.loadtest.arrivals import poisson

RATE, COUNT = 40.0, 50_000


@pytest.fixture(scope="module")
def times() -> np.ndarray:
    return poisson(RATE, requests=COUNT, seconds=None, seed=3)


def test_gaps_are_exponential(times: np.ndarray) -> None:
    gaps = np.sort(np.diff(times, prepend=0.0))
    expected = 1 - np.exp(-RATE * gaps)
    # Kolmogorov and Smirnov: beyond 1.63 / sqrt(n) once in a hundred seeds.
    assert np.abs(np.arange(1, COUNT + 1) / COUNT - expected).max() < 1.63 / np.sqrt(COUNT)


def test_counts_of_a_second_are_as_spread_as_their_mean(times: np.ndarray) -> None:
    counts = np.bincount(times.astype(int))[:-1]
    assert counts.mean() == pytest.approx(RATE, rel=0.03)
    assert counts.var() / counts.mean() == pytest.approx(1.0, abs=0.15)  # evenly spaced ones: 0


def test_gaps_do_not_depend_on_each_other(times: np.ndarray) -> None:
    gaps = np.diff(times)
    assert abs(np.corrcoef(gaps[:-1], gaps[1:])[0, 1]) < 0.02


def test_until_a_time() -> None:
    times = poisson(RATE, requests=None, seconds=300.0, seed=1)
    assert (np.diff(times) > 0).all()
    assert times[0] > 0
    assert times[-1] < 300.0
    assert len(times) == pytest.approx(RATE * 300, abs=5 * np.sqrt(RATE * 300))
    assert len(poisson(RATE, requests=10, seconds=300.0, seed=1)) == 10
    assert len(poisson(RATE, requests=10**5, seconds=300.0, seed=1)) < 10**5


def test_a_seed_fixes_them() -> None:
    first, same, other = (poisson(5.0, requests=20, seconds=None, seed=seed) for seed in (7, 7, 8))
    assert first.tolist() == same.tolist()
    assert first.tolist() != other.tolist()
