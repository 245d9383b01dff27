"""OpenAI's API in asyncio: answers whole, or as the events that they come in."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any

import httpx

from exporter.client.errors import RequestError
from exporter.client.json_body import json_body
from exporter.client.openai_answers import document_of, event_of, opened, refusal


class AsyncOpenAi:
    """Posts bodies to ``http(s)://HOST[:PORT]/v1``; no repetition. Deadlines are the caller's.

    Raises:
      OptionError: a URL, token or CA file that cannot be used.
      RequestError: from every call, with the server's words.
    """

    def __init__(self, url: str, *, token: str | None = None, ca: Path | None = None) -> None:
        self._url, settings = opened(url, token, ca)
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
        self._http = httpx.AsyncClient(**settings, limits=limits, timeout=None)

    async def whole(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """The answer of ``/completions`` or ``/chat/completions``."""
        try:
            answer = await self._http.post(self._url + path, content=json_body(body))
        except httpx.HTTPError as error:
            raise RequestError("UNAVAILABLE", str(error)) from None
        return document_of(answer)

    async def events(self, path: str, body: Mapping[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
        """The events of a streamed answer, up to ``[DONE]``."""
        try:
            async with self._http.stream("POST", self._url + path, content=json_body(body)) as answer:
                if not answer.is_success:
                    await answer.aread()
                    raise refusal(answer)
                async for line in answer.aiter_lines():
                    event = event_of(line)
                    if event is None:
                        return
                    if event:
                        yield event
        except httpx.HTTPError as error:
            raise RequestError("UNAVAILABLE", str(error)) from None

    async def close(self) -> None:
        await self._http.aclose()
