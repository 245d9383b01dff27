"""Concurrent calls of one signature become one request, and its answer is cut up again (asyncio)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from exporter.client.errors import RequestError
from exporter.client.flow import Deadline
from exporter.errors import ServingError

Columns = Mapping[str, list[Any]]
Outputs = Mapping[str, Any]
Send = Callable[[str, Columns, Deadline], Awaitable[Outputs]]
# Failures that say nothing about one caller's rows: sending each caller's alone would fail as well.
_OF_THE_SERVER = {"UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED", "UNAUTHENTICATED", "PERMISSION_DENIED"}


@dataclass(eq=False)
class _Task:
    """One caller's rows."""

    columns: Columns
    rows: int
    deadline: Deadline
    answer: asyncio.Future[Outputs]


@dataclass(eq=False)
class _Batch:
    """Rows that will travel together; ``timer`` sends them when no more came."""

    timer: asyncio.TimerHandle
    tasks: list[_Task] = field(default_factory=list)

    @property
    def rows(self) -> int:
        return sum(task.rows for task in self.tasks)


class Merger:
    """Collects rows for at most ``delay`` seconds or up to ``max_rows``, whichever comes first.

    Args:
      send: sends columns to a signature and returns its outputs.
      max_rows: the most rows in one request; a single caller's may be no more.
    """

    def __init__(self, send: Send, *, max_rows: int, delay: float) -> None:
        self._send, self._max_rows, self._delay = send, max_rows, delay
        self._open: dict[tuple[str, ...], _Batch] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._is_closed = False

    async def submit(self, signature: str, columns: Columns, deadline: Deadline) -> Outputs:
        """The outputs of the caller's own rows.

        Raises:
          RequestError: of the caller's rows alone, or of the server; DEADLINE_EXCEEDED when the time is over.
        """
        if self._is_closed:
            raise _closed()
        loop = asyncio.get_running_loop()
        task = _Task(columns, len(next(iter(columns.values()))), deadline, loop.create_future())
        key = (signature, *sorted(columns))
        if key in self._open and self._open[key].rows + task.rows > self._max_rows:
            self._flush(key)
        if key not in self._open:
            self._open[key] = _Batch(loop.call_later(self._delay, self._flush, key))
        self._open[key].tasks.append(task)
        if self._open[key].rows >= self._max_rows:
            self._flush(key)
        try:
            return await asyncio.wait_for(task.answer, deadline.left)
        except TimeoutError:
            raise deadline.exceeded() from None

    async def close(self) -> None:
        """Cancels what is waiting or running; its callers get the error CANCELLED."""
        self._is_closed = True
        for batch in self._open.values():
            batch.timer.cancel()
            _fail(batch.tasks, _closed())
        self._open.clear()
        for running in list(self._running):
            running.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def _flush(self, key: tuple[str, ...]) -> None:
        batch = self._open.pop(key)
        batch.timer.cancel()
        self._start(key[0], [task for task in batch.tasks if not task.answer.done()])

    def _start(self, signature: str, tasks: list[_Task]) -> None:
        """Sends in the background; when every caller has gone, so does the request."""
        if not tasks:
            return
        running = asyncio.get_running_loop().create_task(self._run(signature, tasks))
        self._running.add(running)
        running.add_done_callback(self._running.discard)
        for task in tasks:
            task.answer.add_done_callback(
                lambda _: running.cancel() if all(other.answer.cancelled() for other in tasks) else None
            )

    async def _run(self, signature: str, tasks: list[_Task]) -> None:
        columns = {
            name: [value for task in tasks for value in task.columns[name]] for name in tasks[0].columns
        }
        deadline = tasks[0].deadline
        for task in tasks[1:]:
            deadline = deadline.later(task.deadline)
        try:
            outputs = await self._send(signature, columns, deadline)
            shares = _shares(outputs, [task.rows for task in tasks], signature)
        except asyncio.CancelledError:
            _fail(tasks, _closed())
            raise
        except Exception as error:
            alone = isinstance(error, RequestError) and error.code not in _OF_THE_SERVER
            if alone and len(tasks) > 1:  # one caller's rows may be at fault: its neighbours shall not pay
                for task in tasks:
                    self._start(signature, [task])
                return
            _fail(tasks, error)
            return
        for task, share in zip(tasks, shares, strict=True):
            if not task.answer.done():
                task.answer.set_result(share)


def _fail(tasks: list[_Task], error: Exception) -> None:
    for task in tasks:
        if not task.answer.done():
            task.answer.set_exception(error)


def _closed() -> RequestError:
    return RequestError("CANCELLED", "the client was closed")


def _shares(outputs: Outputs, counts: list[int], signature: str) -> list[Outputs]:
    """Each caller's rows of every output."""
    total = sum(counts)
    for name, column in outputs.items():
        if np.shape(column)[:1] != (total,):
            shape = list(np.shape(column))
            raise ServingError(f"signature {signature!r}: output {name!r} has shape {shape} for {total} rows")
    ends = np.cumsum(counts)
    return [
        {name: column[end - count : end] for name, column in outputs.items()}
        for end, count in zip(ends, counts, strict=True)
    ]
