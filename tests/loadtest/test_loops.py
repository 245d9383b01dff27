"""Open and closed loops in virtual time: what queues shows, and every request is accounted for."""

from __future__ import annotations

import asyncio

import pytest

from exporter.client.errors import RequestError
from exporter.errors import OptionError, ServingError
from exporter.loadtest.endpoint import Answer
from exporter.loadtest.loops import Load, Run
from exporter.loadtest.tally import figures, lateness_notes, spread
from tests.loadtest.clock import VirtualLoop, play
from tests.loadtest.fakes import ROW, Fake, loaded


def latencies(run: Run) -> list[float]:
    return [outcome.latency for outcome in run.outcomes]


def test_a_queue_is_that_of_the_theory() -> None:
    """M/D/1: the mean time in the system is s + rho s / (2 (1 - rho)), Pollaczek and Khinchine."""
    service, rate = 0.01, 50.0
    run = loaded(Fake(service), rate=rate, requests=8_000)
    rho = rate * service
    expected = service + rho * service / (2 * (1 - rho))
    assert sum(latencies(run)) / 8_000 == pytest.approx(expected, rel=0.05)


def test_a_stall_shows_in_an_open_loop_and_hides_in_a_closed_one() -> None:
    stall = (1.0, 3.0)
    open_loop = spread(latencies(loaded(Fake(0.001, stall=stall, parallel=1000), rate=100.0, seconds=5.0)))
    closed = spread(latencies(loaded(Fake(0.001, stall=stall), concurrency=1, seconds=5.0)))
    assert open_loop is not None
    assert closed is not None
    # Two of five seconds: two fifths of those who come meet the stall, and wait up to all of it.
    assert open_loop.p99 > 1.8
    assert open_loop.p90 > 1.2
    assert open_loop.p50 < 0.2
    assert closed.max > 1.9  # the one request that was under way
    assert closed.p99 < 0.01


def test_what_this_machine_is_late_counts() -> None:
    """What a sender that is busy for half a second sends late is latency, and noted."""

    def busy(number: int) -> Answer:
        if number == 100:
            loop = asyncio.get_running_loop()
            assert isinstance(loop, VirtualLoop)
            loop.now += 0.5
        return Answer()

    run = loaded(Fake(reply=busy), rate=100.0, requests=300)
    shown = figures(run.outcomes, run.abandoned, ())
    assert shown["latency"].p90 > 0.1
    assert shown["latency_from_sending"].p90 < 0.001
    assert shown["lateness"].max > 0.4
    assert len(lateness_notes(shown["lateness"], shown["latency"])) == 1
    calm = figures(loaded(Fake(), rate=100.0, requests=300).outcomes, 0, ())
    assert lateness_notes(calm["lateness"], calm["latency"]) == []


def test_a_closed_loop_keeps_so_many_under_way() -> None:
    fake = Fake(0.1, parallel=100)
    run = loaded(fake, concurrency=7, requests=50)
    assert (fake.most, fake.sent, len(run.outcomes), run.planned) == (7, 50, 50, 50)
    assert max(outcome.ended for outcome in run.outcomes) == pytest.approx(0.8)  # ceil(50 / 7) rounds


def test_a_closed_loop_ends_in_time_and_waits_for_its_answers() -> None:
    run = loaded(Fake(0.3, parallel=2), concurrency=2, seconds=1.0)
    assert len(run.outcomes) == 8  # at 0, 0.3, 0.6 and 0.9 seconds
    assert run.abandoned == 0
    assert run.planned is None


def test_both_limits_hold() -> None:
    assert len(loaded(Fake(0.3), concurrency=1, seconds=1.0, requests=2).outcomes) == 2
    assert len(loaded(Fake(0.3), concurrency=1, seconds=1.0, requests=20).outcomes) == 4


def test_failures_are_outcomes() -> None:
    def reply(number: int) -> Answer:
        if number % 4 == 1:
            raise RequestError("UNAVAILABLE", "the queue is full", 503)
        if number % 4 == 2:
            raise ServingError("an answer of another form")
        return Answer(("text: the prompt is empty",) if number % 4 == 3 else ())

    run = loaded(Fake(reply=reply), concurrency=1, requests=8)
    assert [outcome.code for outcome in run.outcomes[:4]] == ["OK", "UNAVAILABLE", "UNKNOWN", "OK"]
    assert [outcome.good for outcome in run.outcomes[:4]] == [True, False, False, False]
    assert run.outcomes[1].message == "the queue is full"


def test_too_late_is_a_failure() -> None:
    run = loaded(Fake(1.0), timeout=2.5, rate=1000.0, requests=10)
    assert [outcome.code for outcome in run.outcomes].count("DEADLINE_EXCEEDED") == 8
    assert max(outcome.ended for outcome in run.outcomes) < 2.6


def test_a_stopped_run_counts_what_it_left() -> None:
    async def main() -> Run:
        fake = Fake(1.0)
        run = Run(
            fake,
            [await fake.prepare([ROW])],
            Load(rate=1000.0, requests=10),
            100.0,
            lambda outcome: run.stop(),
        )
        await run.run()
        return run

    run = play(main())
    assert (len(run.outcomes), run.abandoned) == (1, 9)


def test_a_fault_of_the_endpoint_is_not_an_outcome() -> None:
    def reply(number: int) -> Answer:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        loaded(Fake(reply=reply), rate=10.0, requests=5)


@pytest.mark.parametrize(
    ("load", "words"),
    [
        ({"requests": 5}, "either --rate"),
        ({"rate": 1.0, "concurrency": 1, "requests": 5}, "either --rate"),
        ({"rate": 1.0}, "--requests, --duration"),
        ({"rate": 0.0, "requests": 5}, "--rate: 0 must be above 0"),
        ({"rate": float("inf"), "requests": 5}, "--rate: inf must be above 0"),
        ({"concurrency": 1, "seconds": -1.0}, "--duration: -1 must be above 0"),
    ],
)
def test_loads_that_cannot_be(load: dict[str, float], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        Load(**load)  # type: ignore[arg-type]
