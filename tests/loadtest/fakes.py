"""Endpoints in the process, for virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from exporter.loadtest.endpoint import Answer, Prepared, Row
from exporter.loadtest.load_report import EndpointFacts
from exporter.loadtest.load_settings import Settings
from exporter.loadtest.loops import Load, Run
from exporter.loadtest.outcome import Outcome
from exporter.loadtest.session import Session
from tests.loadtest.clock import play

FACTS = EndpointFacts(kind="rest", url="http://localhost:8501", model="stories", signature="serving_default")
ROW = {"prompt": "Once"}


class Fake:
    """Answers after ``service`` seconds, one request after the other; between ``stall`` it answers nothing.

    ``reply`` makes the answer from the number of the request, or raises.
    """

    buckets: tuple[int, ...] = (4, 16)
    longest: int | None = 16

    def __init__(
        self,
        service: float = 0.0,
        *,
        stall: tuple[float, float] = (0.0, 0.0),
        reply: Callable[[int], Answer] = lambda number: Answer(generated_tokens=5),
        parallel: int = 1,
    ) -> None:
        self._service, self._stall, self._reply = service, stall, reply
        self._free: asyncio.Semaphore | None = None
        self._parallel = parallel
        self.under_way, self.most, self.sent, self.closed = 0, 0, 0, False

    async def open(self) -> None:
        pass

    async def tokens(self, texts: Sequence[str]) -> list[int | None]:
        return [len(text.split()) for text in texts]

    async def prepare(self, rows: Sequence[Row]) -> Prepared:
        counts = [len(str(row["prompt"]).split()) for row in rows]
        return Prepared(list(rows), len(rows), sum(counts), max(counts))

    async def send(self, prepared: Prepared) -> Answer:
        number, self.sent = self.sent, self.sent + 1
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        self._free = self._free or asyncio.Semaphore(self._parallel)
        try:
            async with self._free:
                await self._work()
            return self._reply(number)
        finally:
            self.under_way -= 1

    async def _work(self) -> None:
        begin, end = self._stall
        now = asyncio.get_running_loop().time()
        await asyncio.sleep((end - now if begin <= now < end else 0.0) + self._service)

    async def close(self) -> None:
        self.closed = True


class Silent:
    """A watcher that keeps what it is told."""

    def __init__(self) -> None:
        self.phases: list[str] = []
        self.steps: list[object] = []

    def phase(self, what: str) -> None:
        self.phases.append(what)

    def begun(self, run: Run) -> None:
        pass

    def seen(self, outcome: Outcome) -> None:
        pass

    def stepped(self, step: object) -> None:
        self.steps.append(step)


def loaded(endpoint: Fake, timeout: float = 100.0, **load: float | None) -> Run:
    """A run that is over, in virtual time."""

    async def main() -> Run:
        run = Run(endpoint, [await endpoint.prepare([ROW])], Load(**load), timeout)  # type: ignore[arg-type]
        await run.run()
        return run

    return play(main())


def session(endpoint: Fake, **settings: object) -> Session:
    return Session(endpoint, Settings(facts=FACTS, rows=[ROW], **settings), Silent())  # type: ignore[arg-type]
