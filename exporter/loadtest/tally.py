"""From outcomes to the figures of a report."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from exporter.loadtest.load_report import (
    BucketFigures,
    ErrorCount,
    RequestCounts,
    Slice,
    Spread,
    SweepStep,
    Throughput,
)
from exporter.loadtest.outcome import Outcome

#: Slices of the timeline, and kinds of errors, at most.
_SLICES, _KINDS = 60, 20
#: Who sends later than this, and than a tenth of the median latency, is part of what is measured.
_LATE_SECONDS = 0.01


def spread(values: Iterable[float]) -> Spread | None:
    """None of no values. Percentiles lie on the line between two values, NumPy's default."""
    array = np.asarray(list(values), float)
    if not len(array):
        return None
    p50, p90, p95, p99 = np.percentile(array, [50, 90, 95, 99]).tolist()
    low, high = float(array.min()), float(array.max())
    return Spread(
        count=len(array), mean=float(array.mean()), min=low, p50=p50, p90=p90, p95=p95, p99=p99, max=high
    )


def figures(outcomes: Sequence[Outcome], abandoned: int, buckets: Sequence[int]) -> dict[str, Any]:
    """The fields of a report that outcomes tell; latencies are of requests whose every row was answered."""
    good = [outcome for outcome in outcomes if outcome.good]
    answered = [outcome for outcome in outcomes if not outcome.failed]
    seconds = max((outcome.ended for outcome in outcomes), default=0.0)
    latencies = [outcome.latency for outcome in good]
    refused = sum(len(outcome.row_errors) for outcome in answered)
    return {
        "seconds": seconds,
        "requests": RequestCounts(
            sent=len(outcomes) + abandoned,
            answered=len(answered),
            with_row_errors=len(answered) - len(good),
            failed=len(outcomes) - len(answered),
            abandoned=abandoned,
        ),
        "rows_answered": sum(outcome.rows for outcome in answered) - refused,
        "rows_refused": refused,
        "throughput": _throughput(answered, seconds),
        "latency": spread(latencies),
        "latency_from_sending": spread(outcome.ended - outcome.sent for outcome in good),
        "lateness": spread(outcome.sent - outcome.scheduled for outcome in outcomes),
        **_streaming(good),
        "latency_percentiles": tuple(np.percentile(latencies, range(101)).tolist()) if latencies else (),
        "timeline": _timeline(outcomes),
        "errors": tuple(_errors(outcomes)),
        "buckets": tuple(_by_bucket(good, buckets)),
    }


def refusal_notes(shown: Mapping[str, Any], steps: Sequence[SweepStep]) -> list[str]:
    """Where refused rows leave nothing to measure, or a sweep passes over them; ``shown`` is ``figures``'."""
    notes, errors = [], shown["errors"]
    if shown["requests"].answered and not shown["rows_answered"]:
        first = next((error for error in errors if error.kind == "row"), errors[0])
        notes.append(f"no row was answered: each was refused by an error of its own: {first.message}")
    if refused := sum(step.with_row_errors for step in steps):
        share = 100 * refused / sum(step.requests for step in steps)
        notes.append(f"{share:.3g} % of the sweep's requests had refused rows: the goal does not count them")
    return notes


def lateness_notes(lateness: Spread | None, latency: Spread | None) -> list[str]:
    """Where this machine could not send in time."""
    if lateness is None or lateness.p99 <= max(_LATE_SECONDS, 0.1 * latency.p50 if latency else 0.0):
        return []
    return [
        f"1 % of requests left this machine more than {lateness.p99:.3f} s late: it is busy, or too slow "
        "for the load; latencies hold that time too"
    ]


def at_percentile(outcomes: Sequence[Outcome], lost: int, percentile: float) -> float | None:
    """The latency that so many of 100 requests stay within; None: fewer were answered.

    A request that failed, or is among the ``lost``, counts as one whose answer never comes; one with refused
    rows does not count. The nearest rank: no value between two requests.
    """
    latencies = sorted(outcome.latency for outcome in outcomes if outcome.good)
    total = len(latencies) + lost + sum(outcome.failed for outcome in outcomes)
    rank = max(1, int(np.ceil(percentile / 100 * total - 1e-9)))
    return latencies[rank - 1] if rank <= len(latencies) else None


def _throughput(answered: Sequence[Outcome], seconds: float) -> Throughput:
    def per_second(values: Iterable[int | None]) -> float | None:
        known = list(values)
        if not known or None in known or not seconds:
            return None
        return sum(value for value in known if value is not None) / seconds

    rows = [outcome.rows - len(outcome.row_errors) for outcome in answered]
    return Throughput(
        requests_per_second=len(answered) / seconds if seconds else 0.0,
        rows_per_second=per_second(rows) or 0.0,
        prompt_tokens_per_second=per_second(outcome.prompt_tokens for outcome in answered),
        generated_tokens_per_second=per_second(outcome.generated_tokens for outcome in answered),
    )


def _streaming(good: Sequence[Outcome]) -> dict[str, Spread | None]:
    """Of streamed answers: to the first piece of text, from each to the next, per token behind it."""
    streamed = [outcome for outcome in good if outcome.pieces]
    gaps = (after - before for outcome in streamed for before, after in itertools.pairwise(outcome.pieces))
    return {
        "time_to_first_token": spread(outcome.pieces[0] - outcome.scheduled for outcome in streamed),
        "time_per_token": spread(
            (outcome.ended - outcome.pieces[0]) / (outcome.generated_tokens - 1)
            for outcome in streamed
            if outcome.generated_tokens is not None and outcome.generated_tokens > 1
        ),
        "between_pieces": spread(gaps),
    }


def _timeline(outcomes: Sequence[Outcome]) -> tuple[Slice, ...]:
    end = max((outcome.scheduled for outcome in outcomes), default=0.0)
    if not end:
        return ()
    count = min(_SLICES, max(1, len(outcomes) // 10))
    slices: list[list[Outcome]] = [[] for _ in range(count)]
    for outcome in outcomes:
        slices[min(count - 1, int(outcome.scheduled / end * count))].append(outcome)
    return tuple(_slice(n * end / count, (n + 1) * end / count, part) for n, part in enumerate(slices))


def _slice(begin: float, end: float, part: Sequence[Outcome]) -> Slice:
    latency = spread(outcome.latency for outcome in part if outcome.good)
    failed = sum(outcome.failed for outcome in part)
    return Slice(
        begin=begin,
        end=end,
        answered=len(part) - failed,
        failed=failed,
        p50=latency.p50 if latency else None,
        p95=latency.p95 if latency else None,
        max=latency.max if latency else None,
    )


def _errors(outcomes: Sequence[Outcome]) -> list[ErrorCount]:
    """The most frequent kinds first."""
    counts: Counter[tuple[str, str, str]] = Counter()
    examples: dict[tuple[str, str, str], str] = {}
    for outcome in outcomes:
        failures = [("request", outcome.code, outcome.message)] if outcome.failed else []
        for kind, code, message in [*failures, *(("row", "ROW", text) for text in outcome.row_errors)]:
            key = (kind, code, re.sub(r"\d+", "0", message))
            counts[key] += 1
            examples.setdefault(key, message[:500])
    return [
        ErrorCount(kind=key[0], code=key[1], message=examples[key], count=count)  # type: ignore[arg-type]
        for key, count in counts.most_common(_KINDS)
    ]


def _by_bucket(good: Sequence[Outcome], buckets: Sequence[int]) -> list[BucketFigures]:
    """Ascending; those of no bucket come last."""
    if not buckets:
        return []
    groups: dict[int | None, list[Outcome]] = {}
    for outcome in good:
        tokens = outcome.longest
        bucket = None if tokens is None else next((size for size in buckets if size >= tokens), None)
        groups.setdefault(bucket, []).append(outcome)
    order = sorted(groups, key=lambda bucket: (bucket is None, bucket or 0))
    return [_bucket(bucket, groups[bucket]) for bucket in order]


def _bucket(bucket: int | None, group: Sequence[Outcome]) -> BucketFigures:
    latency = spread(outcome.latency for outcome in group)
    assert latency is not None
    generated = [outcome.generated_tokens for outcome in group if outcome.generated_tokens is not None]
    return BucketFigures(
        bucket=bucket,
        requests=len(group),
        latency=latency,
        time_to_first_token=_streaming(group)["time_to_first_token"],
        generated_tokens=sum(generated) / len(generated) if generated else None,
    )
