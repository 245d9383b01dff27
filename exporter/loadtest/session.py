"""A load test from its first request to its report: preparing, warming up, one load or a sweep of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Protocol

from exporter import __version__
from exporter.errors import ServingError
from exporter.loadtest import tally
from exporter.loadtest.endpoint import Endpoint, Prepared
from exporter.loadtest.load_report import (
    LoadFacts,
    LoadReport,
    PromptFacts,
    ServerSide,
    SweepFacts,
    SweepStep,
)
from exporter.loadtest.load_settings import Settings
from exporter.loadtest.loops import Load, Run
from exporter.loadtest.outcome import Outcome
from exporter.loadtest.preparing import prepare
from exporter.loadtest.prompt_lengths import PromptLengths
from exporter.loadtest.server_side import Pages
from exporter.loadtest.sweep import highest_rate

#: Users of a warm-up before an open loop.
_WARMING = 4
#: Seconds until a server has counted the answers that it sent.
_COUNTED = 0.2
#: Requests of a sweep's step, unless fewer are asked for.
_LEAST = 20


class Watcher(Protocol):
    """Who is told how far it is; called in the event loop."""

    def phase(self, what: str) -> None: ...
    def begun(self, run: Run) -> None: ...
    def seen(self, outcome: Outcome) -> None: ...
    def stepped(self, step: SweepStep) -> None: ...


@dataclass
class _Measured:
    """A run that is over."""

    run: Run
    server: tuple[ServerSide, ...]


class Session:
    """One test. ``run`` returns its report, of what there is until then where it is interrupted."""

    def __init__(self, endpoint: Endpoint, settings: Settings, watcher: Watcher) -> None:
        self._endpoint, self._settings, self._watcher = endpoint, settings, watcher
        self._prepared: list[Prepared] = []
        self._tokens: list[int] = []
        self._rows = 0
        self._notes: list[str] = []
        self._steps: list[SweepStep] = []
        self._current: Run | None = None
        self._best: _Measured | None = None
        self._found: tuple[float | None, bool] = (None, False)
        self._rate = settings.load.rate

    async def run(self) -> LoadReport:
        """Raises ServingError where nothing is answered at all, OptionError for rows that cannot be sent."""
        started = datetime.now(UTC).isoformat(timespec="seconds")
        interrupted = False
        try:
            await self._prepare()
            await self._warm_up(must_answer=True)
            await (self._sweep() if self._settings.goal else self._once())
        except asyncio.CancelledError:
            if self._current is None:
                raise
            interrupted = True
            if (task := asyncio.current_task()) is not None:
                task.uncancel()
        finally:
            await self._endpoint.close()
        return self._report(started, interrupted)

    async def _prepare(self) -> None:
        """Connects, and makes every request before the first is timed."""
        self._watcher.phase("preparing")
        await self._endpoint.open()
        if self._settings.rows is None and self._settings.lengths is None:
            self._settings = self._with_lengths()
        self._prepared, self._rows = await prepare(self._endpoint, self._settings)
        self._tokens = [one.longest for one in self._prepared if one.longest is not None]

    def _with_lengths(self) -> Settings:
        """Of the prompts that are made, where nothing was said of them."""
        buckets = self._endpoint.buckets
        lengths = PromptLengths.unsaid(buckets, self._endpoint.longest)
        if not buckets:
            told = "--manifest OUT/NAME/VERSION does"
            self._notes.append(f"the server tells no length buckets ({told}): prompts have {lengths} tokens")
        return replace(self._settings, lengths=lengths, source=f"made, tokens {lengths}")

    async def _warm_up(self, *, must_answer: bool = False) -> None:
        """Requests that do not count. Behind an overloaded step they wait until its queue is empty."""
        settings = self._settings
        if not settings.warmup:
            return
        self._watcher.phase("warming up")
        users = settings.load.concurrency or _WARMING
        load = Load(concurrency=min(users, settings.warmup), requests=settings.warmup)
        run = Run(self._endpoint, self._prepared, load, settings.timeout)
        await run.run()
        if must_answer and not any(outcome.of_use for outcome in run.outcomes):
            first = run.outcomes[0]
            why = f"{first.code}: {first.message}" if first.failed else f"refused row: {first.row_errors[0]}"
            raise ServingError(f"none of {len(run.outcomes)} requests before the test was answered: {why}")

    async def _measure(
        self, load: Load, stop_if: Callable[[Run, Outcome], bool] = lambda run, outcome: False
    ) -> _Measured:
        """One load, with the server's pages around it."""

        def seen(outcome: Outcome) -> None:
            self._watcher.seen(outcome)
            if stop_if(run, outcome):
                run.stop()

        before = await self._pages()
        run = Run(self._endpoint, self._prepared, load, self._settings.timeout, seen)
        self._current = run
        self._watcher.begun(run)
        await run.run()
        if before:
            await asyncio.sleep(_COUNTED)
        after = await self._pages()
        model = self._settings.facts.model
        sides = [Pages(url, model, before[url], after[url]).difference() for url in before if url in after]
        return _Measured(run, tuple(side for side in sides if side is not None))

    async def _pages(self) -> dict[str, str]:
        """Those that the server shows; why others are not there is noted once."""
        settings, found = self._settings, {}
        for url, read in settings.pages.items():
            try:
                found[url] = await asyncio.to_thread(read)
            except ServingError as error:
                if settings.pages_must_be:
                    raise
                note = f"no metrics of the server: {url}: {str(error).splitlines()[0]}"
                if note not in self._notes:
                    self._notes.append(note)
        return found

    async def _once(self) -> None:
        self._best = await self._measure(self._settings.load)

    async def _sweep(self) -> None:
        settings = self._settings
        assert settings.goal is not None
        assert settings.load.rate is not None
        self._found = await highest_rate(self._within_goal, settings.load.rate, settings.goal.precision)

    async def _within_goal(self, rate: float) -> bool:
        """One step of a sweep. It ends as soon as too many requests are late."""
        goal = self._settings.goal
        assert goal is not None
        if self._steps:
            await self._warm_up()
        late, self._rate = 0, rate

        def too_late(run: Run, outcome: Outcome) -> bool:
            nonlocal late
            late += outcome.failed or (outcome.good and outcome.latency > goal.seconds)
            return late > (1 - goal.percentile / 100) * (run.planned or 0) + 1e-9

        measured = await self._measure(self._step_load(rate), too_late)
        run = measured.run
        latency = tally.at_percentile(run.outcomes, run.abandoned, goal.percentile)
        passed = latency is not None and latency <= goal.seconds
        shown = tally.figures(run.outcomes, run.abandoned, ())
        step = SweepStep(
            rate=rate,
            requests=len(run.outcomes) + run.abandoned,
            failed=shown["requests"].failed,
            with_row_errors=shown["requests"].with_row_errors,
            requests_per_second=shown["throughput"].requests_per_second,
            latency=latency,
            within_goal=passed,
            ended_early=len(run.outcomes) < (run.planned or 0),
        )
        self._steps.append(step)
        self._watcher.stepped(step)
        if passed and (self._found[0] is None or rate > self._found[0]):
            self._found, self._best = (rate, False), measured
        return passed

    def _step_load(self, rate: float) -> Load:
        """As long as was asked for, but of so many requests that a percentile says something.

        Each step has times of its own: those of one seed come too often, or too seldom, at every rate.
        """
        load = self._settings.load
        if load.requests is None and load.seconds is not None and rate * load.seconds < _LEAST:
            load = replace(load, requests=_LEAST, seconds=None)
        return replace(load, rate=rate, seed=load.seed + len(self._steps))

    def _report(self, started: str, interrupted: bool) -> LoadReport:
        settings = self._settings
        run = self._best.run if self._best else self._current
        assert run is not None
        shown = tally.figures(run.outcomes, run.abandoned, self._endpoint.buckets)
        return LoadReport(
            genserve_version=__version__,
            started=started,
            interrupted=interrupted,
            endpoint=settings.facts,
            load=self._load_facts(),
            prompts=PromptFacts(source=settings.source, rows=self._rows, tokens=tally.spread(self._tokens)),
            server=self._best.server if self._best else (),
            sweep=self._sweep_facts(),
            notes=(
                *self._notes,
                *tally.refusal_notes(shown, self._steps),
                *tally.lateness_notes(shown["lateness"], shown["latency"]),
            ),
            **shown,
        )

    def _load_facts(self) -> LoadFacts:
        settings, load = self._settings, self._settings.load
        found = self._found[0] if settings.goal else None
        return LoadFacts(
            mode=load.mode,  # type: ignore[arg-type]
            rate=found or self._rate,
            concurrency=load.concurrency,
            requests=load.requests,
            seconds=load.seconds,
            seed=load.seed,
            warmup=settings.warmup,
            rows_per_request=settings.rows_per_request,
            timeout=settings.timeout,
        )

    def _sweep_facts(self) -> SweepFacts | None:
        goal = self._settings.goal
        if goal is None:
            return None
        return SweepFacts(
            goal=goal.seconds,
            percentile=goal.percentile,
            precision=goal.precision,
            rate=self._found[0],
            bounded=self._found[1],
            steps=tuple(self._steps),
        )
