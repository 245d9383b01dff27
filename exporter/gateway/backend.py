"""The model servers behind the gateway: which one gets a call, and what happens when it is not there."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from exporter.client.address import Model
from exporter.client.connect import Server
from exporter.client.errors import RequestError
from exporter.client.flow import Deadline, Dialect, Flow, Retry, run_async

#: A server that could not be reached is left alone for so long, while another one is there.
REST_SECONDS = 2.0
_ONCE = Retry(0)


class Predictor(Protocol):
    """What the gateway needs of the servers of one model."""

    async def predict(
        self, signature: str, inputs: Mapping[str, Any], deadline: Deadline, *, light: bool = False
    ) -> dict[str, Any]: ...
    async def ready(self, deadline: Deadline) -> bool: ...
    async def close(self) -> None: ...


@dataclass(eq=False)
class _Backend:
    """One server; ``busy`` calls are on their way to it."""

    server: Server
    dialect: Dialect
    connection: Any = None
    busy: int = 0
    resting_until: float = 0.0

    async def run(self, flow: Flow[Any], deadline: Deadline) -> Any:
        if self.connection is None:
            self.connection = self.server.connection(asynchronous=True)
        self.busy += 1
        try:
            async with asyncio.timeout(deadline.check()):
                return await run_async(flow, self.connection.send, deadline, _ONCE)
        except TimeoutError:
            raise deadline.exceeded() from None
        except RequestError as error:
            if error.is_transient:
                self.resting_until = time.monotonic() + REST_SECONDS
            raise
        finally:
            self.busy -= 1


class Backends:
    """The servers of one model.

    A call goes to the server with the fewest on their way, and to another one where that is UNAVAILABLE:
    every call is whole in itself (a later piece of an answer too), so that repeating it is safe.

    Args:
      rows_at_once: how many rows are with the servers at one time; the rest waits here, first come, first
        served. Calls with ``light`` (no generation) do not wait.
    """

    def __init__(
        self,
        urls: Sequence[str],
        model: Model,
        *,
        rows_at_once: int,
        token: str | None = None,
        ca: Path | str | None = None,
        retry: Retry = Retry(5),  # noqa: B008  (frozen)
    ) -> None:
        servers = [Server(url, model, token, ca if "s://" in url else None) for url in urls]
        self._all = [_Backend(server, server.dialect()) for server in servers]
        self._slots = asyncio.Semaphore(rows_at_once)
        self._retry = retry

    async def predict(
        self, signature: str, inputs: Mapping[str, Any], deadline: Deadline, *, light: bool = False
    ) -> dict[str, Any]:
        """Sends one row; raises RequestError."""
        async with self._slot(deadline, light):
            for attempt in itertools.count():
                backend = self._choose()
                try:
                    return await backend.run(backend.dialect.predict(signature, inputs), deadline)
                except RequestError as error:
                    pause = self._retry.pause(attempt, error, deadline)
                    if all(other.resting_until > time.monotonic() for other in self._all):
                        await asyncio.sleep(pause)
        raise AssertionError

    async def ready(self, deadline: Deadline) -> bool:
        """Whether any server has an AVAILABLE version."""
        answers = await asyncio.gather(
            *(backend.run(backend.dialect.status(), deadline) for backend in self._all),
            return_exceptions=True,
        )
        statuses = [status for answer in answers if isinstance(answer, list) for status in answer]
        return any(status.state == "AVAILABLE" for status in statuses)

    async def close(self) -> None:
        for backend in self._all:
            if backend.connection is not None:
                await backend.connection.close()

    def _choose(self) -> _Backend:
        now = time.monotonic()
        return min(self._all, key=lambda backend: (max(0.0, backend.resting_until - now), backend.busy))

    @asynccontextmanager
    async def _slot(self, deadline: Deadline, light: bool) -> AsyncIterator[None]:
        if light:
            yield
            return
        try:
            async with asyncio.timeout(deadline.check()):
                await self._slots.acquire()
        except TimeoutError:
            raise deadline.exceeded() from None
        try:
            yield
        finally:
            self._slots.release()
