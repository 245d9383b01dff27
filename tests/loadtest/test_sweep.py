"""The search for a rate, on a rule and on a server whose capacity is known."""

from __future__ import annotations

import numpy as np
import pytest

from exporter.client.errors import RequestError
from exporter.loadtest.endpoint import Answer
from exporter.loadtest.load_report import LoadReport
from exporter.loadtest.load_settings import Goal
from exporter.loadtest.loops import Load
from exporter.loadtest.sweep import highest_rate
from tests.loadtest.clock import play
from tests.loadtest.fakes import Fake, session


@pytest.mark.parametrize("start", [0.5, 1.0, 36.9, 37.0, 500.0, 2000.0])
def test_the_rule_is_found_from_anywhere(start: float) -> None:
    asked: list[float] = []

    async def within(rate: float) -> bool:
        asked.append(rate)
        return rate <= 37.0

    best, bounded = play(highest_rate(within, start, 0.05))
    assert bounded
    assert best is not None
    assert 37.0 / 1.05 <= best <= 37.0
    assert best in asked


def test_no_end_is_said() -> None:
    async def always(rate: float) -> bool:
        return True

    async def never(rate: float) -> bool:
        return False

    best, bounded = play(highest_rate(always, 1.0, 0.1))
    assert best is not None
    assert best > 1e5
    assert not bounded
    assert play(highest_rate(never, 1.0, 0.1)) == (None, False)


SERVICE, GOAL = 0.02, 0.1


def sojourn(rate: float) -> float:
    """The 95th percentile of the time in a queue with one server, simulated by Lindley's recursion."""
    gaps = np.random.default_rng(11).exponential(1 / rate, 200_000)
    waits = np.zeros(len(gaps))
    for n in range(1, len(gaps)):
        waits[n] = max(0.0, waits[n - 1] + SERVICE - gaps[n])
    return float(np.percentile(waits + SERVICE, 95))


def swept(endpoint: Fake, **settings: object) -> LoadReport:
    goal = Goal(GOAL, 95.0, 0.1)
    return play(session(endpoint, goal=goal, **{"warmup": 5, **settings}).run())


def test_a_server_of_known_capacity() -> None:
    report = swept(Fake(SERVICE), load=Load(rate=4.0, requests=1500, seed=5))
    assert report.sweep is not None
    rate = report.sweep.rate
    assert report.sweep.bounded
    assert rate is not None
    assert rate < 1 / SERVICE
    assert sojourn(rate * 0.8) < GOAL < sojourn(rate * 1.25)
    assert report.latency is not None
    assert report.latency.p95 <= GOAL
    assert report.load.rate == rate
    missed = [step for step in report.sweep.steps if not step.within_goal]
    assert missed
    assert all(step.ended_early for step in missed if step.rate > 2 / SERVICE)


def test_a_server_that_fails_is_within_no_goal() -> None:
    def reply(number: int) -> Answer:
        if number % 10 == 9:
            raise RequestError("UNAVAILABLE", "the queue is full")
        return Answer()

    report = swept(Fake(0.0, reply=reply), load=Load(rate=4.0, requests=100))
    assert report.sweep is not None
    assert report.sweep.rate is None
    assert all(step.failed for step in report.sweep.steps)


def test_rows_that_are_refused_do_not_hide_a_rate() -> None:
    reply = lambda number: Answer(("text: empty",) if number % 3 == 0 else ())  # noqa: E731
    report = swept(Fake(SERVICE, reply=reply), load=Load(rate=4.0, requests=600))
    assert report.sweep is not None
    assert report.sweep.rate is not None
    assert report.requests.with_row_errors > 100
    steps = report.sweep.steps
    refused, sent = sum(step.with_row_errors for step in steps), sum(step.requests for step in steps)
    assert 0.3 < refused / sent < 0.35
    assert f"{100 * refused / sent:.3g} % of the sweep's requests had refused rows" in report.notes[0]


def test_rows_that_are_all_refused_find_no_rate() -> None:
    report = swept(Fake(reply=lambda _: Answer(("text: empty",))), load=Load(rate=4.0, requests=9), warmup=0)
    assert report.sweep is not None
    assert report.sweep.rate is None
    none, share = report.notes[:2]
    assert none == "no row was answered: each was refused by an error of its own: text: empty"
    assert share.startswith("100 % of the sweep's requests had refused rows")
