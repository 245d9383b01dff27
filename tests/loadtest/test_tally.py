"""Figures from outcomes whose times are known."""

from __future__ import annotations

import random
import statistics

import pytest

from exporter.loadtest.outcome import Outcome
from exporter.loadtest.tally import at_percentile, figures, spread


def outcome(scheduled: float, ended: float, **fields: object) -> Outcome:
    return Outcome(scheduled, scheduled, ended, **fields)  # type: ignore[arg-type]


def test_percentiles_are_those_of_another_library() -> None:
    values = [random.Random(4).lognormvariate(0, 1) for _ in range(1237)]
    found = spread(values)
    assert found is not None
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    assert (found.p50, found.p90, found.p95, found.p99) == pytest.approx(
        [cuts[n - 1] for n in (50, 90, 95, 99)]
    )
    assert (found.min, found.max, found.count) == (min(values), max(values), 1237)
    assert found.mean == pytest.approx(statistics.fmean(values))
    assert spread([]) is None


def test_rates_are_of_answers_over_the_time_until_the_last() -> None:
    outcomes = [
        outcome(0.0, 1.0, rows=2, prompt_tokens=10, generated_tokens=4),
        outcome(1.0, 4.0, rows=2, row_errors=("bad",), prompt_tokens=6, generated_tokens=2),
        outcome(1.0, 5.0, code="UNAVAILABLE", rows=2),
    ]
    shown = figures(outcomes, 1, ())
    counts, speed = shown["requests"], shown["throughput"]
    assert (counts.sent, counts.answered, counts.with_row_errors, counts.failed, counts.abandoned) == (
        4,
        2,
        1,
        1,
        1,
    )
    assert shown["seconds"] == 5.0
    assert speed.requests_per_second == pytest.approx(2 / 5)
    assert speed.rows_per_second == pytest.approx(3 / 5)
    assert speed.prompt_tokens_per_second == pytest.approx(16 / 5)
    assert speed.generated_tokens_per_second == pytest.approx(6 / 5)
    assert (shown["rows_answered"], shown["rows_refused"]) == (3, 1)
    assert shown["latency"].count == 1  # neither a failure nor refused rows say how long an answer takes
    assert shown["latency"].p50 == 1.0


def test_tokens_that_someone_does_not_count_have_no_rate() -> None:
    speed = figures([outcome(0, 1, generated_tokens=3), outcome(0, 1)], 0, ())["throughput"]
    assert speed.generated_tokens_per_second is None


def test_of_streams() -> None:
    """Five tokens in pieces at 0.5 and 0.9 seconds, due at 0.1: 0.4 s to the first, then 0.1 s a token."""
    shown = figures([outcome(0.1, 0.9, pieces=(0.5, 0.9), generated_tokens=5)], 0, ())
    assert shown["time_to_first_token"].p50 == pytest.approx(0.4)
    assert shown["time_per_token"].p50 == pytest.approx(0.1)
    assert shown["between_pieces"].p50 == pytest.approx(0.4)
    one_token = figures([outcome(0.0, 0.9, pieces=(0.9,), generated_tokens=1)], 0, ())
    assert (one_token["time_per_token"], one_token["between_pieces"]) == (None, None)


def test_by_bucket() -> None:
    lengths = [3, 4, 5, 16, 17, None]
    outcomes = [outcome(0, 1 + n, longest=tokens, generated_tokens=n) for n, tokens in enumerate(lengths)]
    rows = figures(outcomes, 0, (4, 16))["buckets"]
    assert [(row.bucket, row.requests) for row in rows] == [(4, 2), (16, 2), (None, 2)]
    assert rows[0].latency.mean == pytest.approx(1.5)
    assert rows[1].generated_tokens == pytest.approx(2.5)
    assert figures(outcomes, 0, ())["buckets"] == ()


def test_errors_by_kind_the_most_frequent_first() -> None:
    refused = [f"text: the prompt has {n} tokens; allowed: 1 to 48" for n in (50, 60, 70)]
    outcomes = [
        outcome(0, 1, rows=3, row_errors=tuple(refused)),
        outcome(0, 1, code="UNAVAILABLE", message="full"),
        outcome(0, 1, code="UNAVAILABLE", message="full"),
        outcome(0, 1, code="INTERNAL", message="full"),
    ]
    errors = figures(outcomes, 0, ())["errors"]
    assert [(error.kind, error.code, error.count) for error in errors] == [
        ("row", "ROW", 3),
        ("request", "UNAVAILABLE", 2),
        ("request", "INTERNAL", 1),
    ]
    assert errors[0].message == refused[0]


def test_the_timeline_has_everyone_where_they_were_due() -> None:
    outcomes = [outcome(n / 10, n / 10 + (2 if n >= 50 else 1)) for n in range(100)]
    outcomes.append(outcome(9.9, 12, code="INTERNAL"))
    slices = figures(outcomes, 0, ())["timeline"]
    assert sum(one.answered for one in slices) == 100
    assert sum(one.failed for one in slices) == 1
    assert slices[0].p50 == pytest.approx(1.0)
    assert slices[-1].p50 == pytest.approx(2.0)
    assert slices[0].begin == 0
    assert slices[-1].end == pytest.approx(9.9)


@pytest.mark.parametrize(
    ("failed", "lost", "percentile", "expected"),
    [(0, 0, 95, 95), (0, 0, 100, 100), (0, 0, 50, 50), (4, 0, 95, 99), (6, 0, 95, None), (0, 6, 95, None)],
)
def test_who_failed_waits_for_ever(failed: int, lost: int, percentile: float, expected: float | None) -> None:
    outcomes = [outcome(0, n) for n in range(1, 101)]
    outcomes += [outcome(0, 1, code="INTERNAL")] * failed
    assert at_percentile(outcomes, lost, percentile) == expected
    with_refused = [*outcomes, *[outcome(0, 1, row_errors=("bad",))] * 50]
    assert at_percentile(with_refused, lost, percentile) == expected
