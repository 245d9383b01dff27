"""A client's connection: its body within limits, its leaving, and an answer as server-sent events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping
from contextlib import aclosing
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from exporter.client.flow import Deadline
from exporter.gateway.errors import ApiError, fault

T = TypeVar("T")


class ClientGoneError(Exception):
    """The client has left: nobody waits for the answer."""


async def read_body(request: Request, *, limit: int, seconds: float) -> bytes:
    """A request's whole body.

    Raises:
      ApiError: larger than ``limit`` bytes (413; it is not read to its end), or not sent in time (408).
      ClientGoneError: the client left.
    """
    too_large = ApiError(413, f"the body is larger than {limit} bytes", code="request_too_large")
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise too_large
    content = bytearray()
    try:
        async with asyncio.timeout(seconds):
            while True:
                message = await request.receive()
                if message["type"] == "http.disconnect":
                    raise ClientGoneError
                content += message.get("body", b"")
                if len(content) > limit:
                    raise too_large
                if not message.get("more_body", False):
                    return bytes(content)
    except TimeoutError:
        raise ApiError(408, f"the body did not come within {seconds:g} s", code="timeout") from None


async def while_connected(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """The result of ``work``, which is cancelled when the client leaves.

    Raises:
      ClientGoneError: it did.
    """

    async def gone() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    working, watching = asyncio.ensure_future(work), asyncio.ensure_future(gone())
    try:
        await asyncio.wait((working, watching), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientGoneError
        return working.result()
    finally:
        for task in (working, watching):
            task.cancel()
        await asyncio.gather(working, watching, return_exceptions=True)


class EventStream(Response):
    """An answer whose ``chunks`` are events, and ``[DONE]`` the last.

    An error in the middle is an event too: the status has been sent by then. ``ended`` is called once, with
    what the answer ended with: 200, an error's status, or 499 where the client left.
    """

    def __init__(
        self,
        chunks: AsyncGenerator[dict[str, Any], None],
        deadline: Deadline,
        ended: Callable[[int], Awaitable[None]],
        headers: Mapping[str, str],
    ) -> None:
        # X-Accel-Buffering: nginx passes events on as they come.
        extra = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        super().__init__(headers={**headers, **extra}, media_type="text/event-stream")
        del self.headers["content-length"]
        self._chunks, self._deadline, self._ended = chunks, deadline, ended

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        status = 499
        try:
            status = await while_connected(receive, self._run(send))
        except ClientGoneError:
            pass
        finally:
            await self._ended(status)

    async def _run(self, send: Send) -> int:
        await _sent(send, {"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        status, last = 200, b"data: [DONE]\n\n"
        try:
            async with asyncio.timeout(self._deadline.left), aclosing(self._chunks) as chunks:
                async for chunk in chunks:
                    await _sent(send, _body(event(chunk), more=True))
        except ClientGoneError:
            raise
        except Exception as error:
            known = self._known(error)
            status, last = known.status, event(known.body)
        await _sent(send, _body(last, more=False))
        return status

    def _known(self, error: Exception) -> ApiError:
        if isinstance(error, ApiError):
            return error
        if isinstance(error, TimeoutError):
            return _too_slow(self._deadline)
        return fault(self.headers.get("x-request-id", ""))


async def _sent(send: Send, message: dict[str, Any]) -> None:
    """Sends, where a client is there to read."""
    try:
        await send(message)
    except OSError:
        raise ClientGoneError from None


def event(value: Any) -> bytes:
    """One server-sent event."""
    return b"data: " + json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


def _body(content: bytes, *, more: bool) -> dict[str, Any]:
    return {"type": "http.response.body", "body": content, "more_body": more}


def _too_slow(deadline: Deadline) -> ApiError:
    return ApiError(504, f"the answer was not read within {deadline.seconds:g} s", code="timeout")
