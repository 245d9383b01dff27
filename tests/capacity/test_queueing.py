"""Queues, against the closed form where there is one, and against played-out ones where there is none."""

from __future__ import annotations

import pytest

from exporter.capacity.queueing import queue_of, replicas_of
from exporter.capacity.simulation import play
from exporter.errors import OptionError

#: Batches whose seconds grow with their rows, as a version's do.
SECONDS = [0.10 + 0.02 * rows for rows in range(1, 9)]


@pytest.mark.parametrize("load", [0.1, 0.5, 0.9])
def test_single_rows_wait_as_pollaczek_and_khinchine_say(load: float) -> None:
    """M/D/1: the mean wait is load * seconds / (2 (1 - load))."""
    queue = queue_of(load / 0.25, [0.25])
    assert queue is not None
    assert queue.wait_seconds == pytest.approx(load * 0.25 / (2 * (1 - load)), rel=1e-6)
    assert queue.busy == pytest.approx(load, rel=1e-6)
    assert queue.rows == pytest.approx(1)


@pytest.mark.parametrize("rate", [2.0, 10.0, 25.0])
def test_batches_wait_as_when_played(rate: float) -> None:
    """Within 5 %, which 100,000 requests are enough for."""
    queue, played = queue_of(rate, SECONDS), play(rate, SECONDS, requests=100_000, seed=1)
    assert queue is not None
    assert queue.wait_seconds == pytest.approx(played.wait_seconds, rel=0.05)
    assert queue.answer_seconds == pytest.approx(played.answer_seconds, rel=0.05)
    assert played.answer_seconds_95 > played.answer_seconds


def test_replicas_are_as_one_with_its_share_and_one_queue_for_all_is_better() -> None:
    replicas, queue = replicas_of(100.0, SECONDS, most_wait=0.15)
    played = play(100.0, SECONDS, replicas, requests=100_000, seed=2)
    assert queue.wait_seconds == pytest.approx(played.wait_seconds, rel=0.05)
    assert (
        play(100.0, SECONDS, replicas, requests=50_000, seed=2, shared=True).wait_seconds < queue.wait_seconds
    )
    fewer = queue_of(100.0 / (replicas - 1), SECONDS)
    assert fewer is None or fewer.wait_seconds > 0.15


def test_too_much_load_has_no_queue_and_any_load_has_replicas() -> None:
    assert queue_of(8 / SECONDS[-1], SECONDS) is None
    replicas, queue = replicas_of(200_000.0, SECONDS, most_wait=0.2)
    assert replicas >= 200_000 * SECONDS[-1] / 8
    assert queue.wait_seconds <= 0.2
    with pytest.raises(OptionError, match="more than 1,000,000 replicas"):
        replicas_of(1e9, SECONDS, most_wait=0.2)
