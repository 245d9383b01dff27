"""A call as a generator: it yields what to send, gets what came back, and returns the result.

What is sent and how answers are read is thus written once, and driven by blocking and by asyncio clients
alike, which add deadlines and repetition.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Awaitable, Callable, Generator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeVar

from exporter.client.answers import SignatureInfo, VersionStatus
from exporter.client.errors import RequestError

T = TypeVar("T")
Flow = Generator[Any, Any, T]


class Dialect(Protocol):
    """REST or gRPC: the flows of the API's three row_calls."""

    def predict(self, signature: str, inputs: Mapping[str, Any]) -> Flow[dict[str, Any]]: ...
    def metadata(self) -> Flow[dict[str, SignatureInfo]]: ...
    def status(self) -> Flow[list[VersionStatus]]: ...


class Deadline:
    """When a call must have its answer; ``seconds`` from now."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        return max(0.0, self._end - time.monotonic())

    def check(self) -> float:
        """The seconds left.

        Raises:
          RequestError: none are.
        """
        if not self.left:
            raise self.exceeded()
        return self.left

    def exceeded(self) -> RequestError:
        return RequestError("DEADLINE_EXCEEDED", f"no answer within {self.seconds:g} s")

    def later(self, other: Deadline) -> Deadline:
        """The later of the two."""
        return self if self._end >= other._end else other


@dataclass(frozen=True)
class Retry:
    """Repetition of what failed as UNAVAILABLE: a full queue (503), a server that is not there yet.

    The n-th pause is random between 0 and ``first * 2**n`` seconds, ``longest`` at most ("full jitter",
    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
    """

    count: int = 0
    first: float = 0.1
    longest: float = 5.0

    def pause(self, attempt: int, error: RequestError, deadline: Deadline) -> float:
        """Seconds to wait after the attempt (counted from 0) that failed.

        Raises:
          RequestError: ``error``, which repetition would not help, or the deadline does not allow.
        """
        seconds = random.uniform(0, min(self.longest, self.first * 2**attempt))
        if attempt >= self.count or not error.is_transient or seconds >= deadline.left:
            raise error
        return seconds


def run(flow: Flow[T], send: Callable[[Any, float], Any], deadline: Deadline, retry: Retry) -> T:
    """Drives a flow; ``send`` takes what the flow yields and the seconds left."""

    def exchange(item: Any) -> Any:
        for attempt in itertools.count():
            try:
                return send(item, deadline.check())
            except RequestError as error:
                time.sleep(retry.pause(attempt, error, deadline))
        raise AssertionError

    step: Callable[[], Any] = partial(flow.send, None)
    while True:
        try:
            item = step()
        except StopIteration as done:
            return done.value
        try:
            step = partial(flow.send, exchange(item))
        except RequestError as error:
            step = partial(flow.throw, error)


async def run_async(
    flow: Flow[T], send: Callable[[Any, float], Awaitable[Any]], deadline: Deadline, retry: Retry
) -> T:
    """``run`` in asyncio."""

    async def exchange(item: Any) -> Any:
        for attempt in itertools.count():
            try:
                return await send(item, deadline.check())
            except RequestError as error:
                await asyncio.sleep(retry.pause(attempt, error, deadline))
        raise AssertionError

    step: Callable[[], Any] = partial(flow.send, None)
    while True:
        try:
            item = step()
        except StopIteration as done:
            return done.value
        try:
            step = partial(flow.send, await exchange(item))
        except RequestError as error:
            step = partial(flow.throw, error)
