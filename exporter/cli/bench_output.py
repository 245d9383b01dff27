"""What ``genserve bench`` shows: a line of progress on a terminal, and the report."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from rich.console import Console

    from exporter.loadtest.load_report import LoadReport, SweepStep
    from exporter.loadtest.loops import Run
    from exporter.loadtest.outcome import Outcome

#: Seconds between two looks at the latest figures, and how many of the last answers these are of.
_LOOK, _LAST = 0.5, 500


class Progress:
    """How far a test is, on a terminal; nothing else than a sweep's steps where stderr is none."""

    def __init__(self) -> None:
        self._shown: Any = None
        self._task: Any = None
        self._run: Run | None = None
        self._failed, self._looked = 0, 0.0

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            from exporter.cli.progress_bar import progress_bar

            self._shown = progress_bar()
            self._shown.start()
            self._task = self._shown.add_task("", total=None, figures="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shown is not None:
            if self._run is not None:
                self._shown.update(self._task, completed=len(self._run.outcomes))
            self._shown.stop()

    def phase(self, what: str) -> None:
        """What comes before the load."""
        if self._shown is not None:
            self._shown.update(self._task, description=what, total=None, completed=0, figures="")

    def begun(self, run: Run) -> None:
        self._run, self._failed, self._looked = run, 0, 0.0
        if self._shown is not None:
            self._shown.update(self._task, description="requests", total=run.planned, completed=0, figures="")

    def seen(self, outcome: Outcome) -> None:
        from exporter.loadtest.tally import spread
        from exporter.loadtest.telling import tell

        self._failed += outcome.failed
        now = time.monotonic()
        if self._shown is None or self._run is None or now - self._looked < _LOOK:
            return
        self._looked = now
        done = self._run.outcomes
        latest = spread(one.latency for one in done[-_LAST:] if one.good)
        p95 = f", p95 {tell(latest.p95)}" if latest is not None else ""
        failed = f", {self._failed} failed" if self._failed else ""
        speed = len(done) / max(self._run.elapsed, 1e-9)
        self._shown.update(self._task, completed=len(done), figures=f"{speed:.1f}/s{p95}{failed}")

    def stepped(self, step: SweepStep) -> None:
        from exporter.loadtest.telling import tell

        verdict = "within the goal" if step.within_goal else "misses the goal"
        latency = tell(step.latency) if step.latency is not None else "too many are late"
        line = f"{step.rate:.4g} requests/s: {latency}, {step.failed} failed: {verdict}"
        (self._shown.console.print if self._shown is not None else _to_stderr)(line)


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr)


def print_report(report: LoadReport) -> None:
    """The report as tables."""
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    for note in report.notes:
        console.print(f"note: {note}", markup=False)
    _sweep(console, report)
    _counts(console, report)
    _spreads(console, report)
    _buckets(console, report)
    _server(console, report)
    for error in report.errors:
        console.print(f"{error.count} x {error.kind} {error.code}: {error.message}", markup=False)


def _sweep(console: Console, report: LoadReport) -> None:
    from rich.table import Table

    from exporter.loadtest.telling import step_latency, tell

    sweep = report.sweep
    if sweep is None:
        return
    table = Table("requests/s", f"p{sweep.percentile:g}", "goal", "requests", "failed", box=None)
    for step in sweep.steps:
        verdict = ("within" if step.within_goal else "missed") + (", ended early" if step.ended_early else "")
        table.add_row(
            f"{step.rate:.4g}", step_latency(step, sweep), verdict, str(step.requests), str(step.failed)
        )
    console.print(table)
    what = f"p{sweep.percentile:g} within {tell(sweep.goal)}"
    if sweep.rate is None:
        console.print(f"no rate has its {what}; the figures below are the last step's")
    else:
        more = "" if sweep.bounded else " (the highest tried)"
        console.print(f"{sweep.rate:.4g} requests/s{more} is the highest rate with {what}; its figures:")


def _counts(console: Console, report: LoadReport) -> None:
    counts, speed = report.requests, report.throughput
    whole = f"{counts.answered} of {counts.sent} requests answered in {report.seconds:.1f} s"
    more = {
        "failed": counts.failed,
        "with refused rows": counts.with_row_errors,
        "abandoned": counts.abandoned,
    }
    console.print(whole + "".join(f", {count} {name}" for name, count in more.items() if count))
    figures = [f"{speed.requests_per_second:.4g} requests/s"]
    if report.load.rows_per_request > 1:
        figures.append(f"{speed.rows_per_second:.4g} rows/s")
    for name, value in {
        "prompt": speed.prompt_tokens_per_second,
        "generated": speed.generated_tokens_per_second,
    }.items():
        if value is not None:
            figures.append(f"{value:.4g} {name} tokens/s")
    console.print(", ".join(figures))


def _spreads(console: Console, report: LoadReport) -> None:
    from rich.table import Table

    from exporter.loadtest.telling import spreads, tell

    table = Table("", "p50", "p90", "p95", "p99", "max", "mean", box=None)
    for name, spread in spreads(report):
        if spread is not None:
            values = (spread.p50, spread.p90, spread.p95, spread.p99, spread.max, spread.mean)
            table.add_row(name, *map(tell, values))
    if table.row_count:
        console.print(table)


def _buckets(console: Console, report: LoadReport) -> None:
    from rich.table import Table

    from exporter.loadtest.telling import tell

    if not report.buckets:
        return
    table = Table("bucket", "requests", "p50", "p95", "p99", "new tokens a request", box=None)
    for one in report.buckets:
        times = (one.latency.p50, one.latency.p95, one.latency.p99)
        tokens = "-" if one.generated_tokens is None else f"{one.generated_tokens:.4g}"
        table.add_row(
            "?" if one.bucket is None else str(one.bucket), str(one.requests), *map(tell, times), tokens
        )
    console.print(table)


def _server(console: Console, report: LoadReport) -> None:
    from exporter.loadtest.telling import server_rows

    for side in report.server:
        console.print(f"{side.url}:", markup=False)
        for name, value in server_rows(side):
            console.print(f"  {name}: {value}", markup=False)
