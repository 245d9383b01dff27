"""The two kinds of load: an open loop sends when it is time, a closed one when an answer is there."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from exporter.client.errors import RequestError
from exporter.errors import OptionError, ServingError
from exporter.loadtest.arrivals import poisson
from exporter.loadtest.endpoint import Answer, Endpoint, Prepared, within
from exporter.loadtest.outcome import Outcome


@dataclass(frozen=True)
class Load:
    """A load; either ``rate`` or ``concurrency``, and ``requests``, ``seconds`` or both (what ends first).

    Attributes:
      rate: requests a second that arrive at random, whether or not others were answered (open loop).
      concurrency: requests under way at a time (closed loop).
      seed: of the arrivals.
    """

    rate: float | None = None
    concurrency: int | None = None
    requests: int | None = None
    seconds: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if (self.rate is None) == (self.concurrency is None):
            raise OptionError("give either --rate (an open loop) or --concurrency (a closed one)")
        if self.requests is None and self.seconds is None:
            raise OptionError("give --requests, --duration or both")
        for name, value in {
            "--rate": self.rate,
            "--concurrency": self.concurrency,
            "--requests": self.requests,
            "--duration": self.seconds,
        }.items():
            if value is not None and not 0 < value < float("inf"):
                raise OptionError(f"{name}: {value:g} must be above 0")

    @property
    def mode(self) -> str:
        return "open" if self.rate is not None else "closed"


class Run:
    """One load on an endpoint.

    Args:
      prepared: what is sent, in turn.
      timeout: seconds for an answer, from its sending.
      seen: called with every outcome.

    Attributes:
      outcomes: in the order of their ends; times count from ``start``, of the event loop's clock.
      planned: how many requests it will be; None of a closed loop that ends by time.
      abandoned: those that were under way when the run was stopped.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        prepared: Sequence[Prepared],
        load: Load,
        timeout: float,
        seen: Callable[[Outcome], None] = lambda outcome: None,
    ) -> None:
        self._endpoint, self._prepared, self._load = endpoint, prepared, load
        self._timeout, self._seen = timeout, seen
        self._arrivals = (
            poisson(load.rate, requests=load.requests, seconds=load.seconds, seed=load.seed)
            if load.rate is not None
            else None
        )
        self.outcomes: list[Outcome] = []
        self.planned = load.requests if self._arrivals is None else len(self._arrivals)
        self.abandoned = 0
        self.start = 0.0
        self._under_way = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._driver: asyncio.Task[None] | None = None
        self._fault: BaseException | None = None

    async def run(self) -> None:
        """Until the load is over, or ``stop``, or it is cancelled; ``outcomes`` are there in any case."""
        loop = asyncio.get_running_loop()
        self.start = loop.time()
        self._driver = loop.create_task(self._closed() if self._arrivals is None else self._open())
        try:
            await asyncio.wait({self._driver})
        finally:
            self.abandoned = self._under_way
            running = [self._driver, *self._tasks]
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
        if self._fault is not None:
            raise self._fault

    def stop(self) -> None:
        """Ends the run; what is under way is abandoned."""
        if self._driver is not None:
            self._driver.cancel()

    @property
    def elapsed(self) -> float:
        return asyncio.get_running_loop().time() - self.start

    async def _open(self) -> None:
        assert self._arrivals is not None
        for number, due in enumerate(self._arrivals.tolist()):
            await asyncio.sleep(max(0.0, due - self.elapsed))
            self._begin(self._ask(number, due))
        await self._rest()

    async def _closed(self) -> None:
        load = self._load
        assert load.concurrency is not None
        numbers = iter(range(load.requests)) if load.requests is not None else itertools.count()

        async def user() -> None:
            for number in numbers:
                if load.seconds is not None and self.elapsed >= load.seconds:
                    return
                await self._ask(number, self.elapsed)

        for _ in range(load.concurrency):
            self._begin(user())
        await self._rest()

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (fault := task.exception()) is not None:
            self._fault = fault
            self.stop()

    async def _rest(self) -> None:
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _ask(self, number: int, scheduled: float) -> None:
        prepared = self._prepared[number % len(self._prepared)]
        sent = self.elapsed
        self._under_way += 1
        try:
            async with within(self._timeout):
                answer = await self._endpoint.send(prepared)
            outcome = self._answered(prepared, answer, scheduled, sent)
        except ServingError as error:
            code = error.code if isinstance(error, RequestError) else "UNKNOWN"
            message = error.message if isinstance(error, RequestError) else str(error)
            outcome = Outcome(scheduled, sent, self.elapsed, code, message, prepared.rows)
        self._under_way -= 1
        self.outcomes.append(outcome)
        self._seen(outcome)

    def _answered(self, prepared: Prepared, answer: Answer, scheduled: float, sent: float) -> Outcome:
        tokens = answer.prompt_tokens if answer.prompt_tokens is not None else prepared.prompt_tokens
        return Outcome(
            scheduled,
            sent,
            self.elapsed,
            rows=prepared.rows,
            row_errors=answer.row_errors,
            prompt_tokens=tokens,
            generated_tokens=answer.generated_tokens,
            longest=prepared.longest
            if prepared.longest is not None or prepared.rows > 1
            else answer.prompt_tokens,
            pieces=tuple(at - self.start for at in answer.pieces),
        )
