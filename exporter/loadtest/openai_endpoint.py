"""A model behind OpenAI's API: a gateway, or another server of completions and chats."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

from exporter.client.errors import RequestError
from exporter.client.openai_answers import of_another_form
from exporter.client.openai_stream import AsyncOpenAi
from exporter.errors import OptionError
from exporter.loadtest.endpoint import Answer, Prepared, Row
from exporter.manifest import Manifest

_SET = {"model", "stream", "stream_options"}
#: The fields of a delta that hold what the model wrote.
_TEXTS = ("content", "reasoning_content", "reasoning", "tool_calls")


class OpenAiEndpoint:
    """Rows are fields of the body; of a chat ``prompt`` is the only message, unless there are ``messages``.

    Args:
      chat: asks for chats instead of completions.
      stream: asks for events, with the time of every piece.
      options: fields of every body that does not have them itself.
    """

    def __init__(
        self,
        url: str,
        model: str,
        options: Mapping[str, Any],
        *,
        chat: bool,
        stream: bool,
        token: str | None = None,
        ca: Path | None = None,
        manifest: Manifest | None = None,
    ) -> None:
        self._model, self._options = model, options
        self._chat, self._stream = chat, stream
        self._path = "/chat/completions" if chat else "/completions"
        self._where = url, token, ca
        self.buckets = manifest.buckets.prompt_lengths if manifest else ()
        self.longest = max(self.buckets, default=None)
        self._client: AsyncOpenAi | None = None
        AsyncOpenAi(url, token=token, ca=ca)  # whose errors are the caller's, before anything is sent

    async def open(self) -> None:
        url, token, ca = self._where
        self._client = AsyncOpenAi(url, token=token, ca=ca)

    async def tokens(self, texts: Sequence[str]) -> list[int | None]:
        """Nobody counts before the answer; that has them."""
        return [None] * len(texts)

    async def prepare(self, rows: Sequence[Row]) -> Prepared:
        if len(rows) > 1 and self._chat:
            raise OptionError(f"--rows-per-request {len(rows)}: a chat is one row")
        body = {**self._options, **rows[0]}
        if taken := sorted(_SET & body.keys()):
            raise OptionError(f"option: {taken[0]!r} is set here already")
        if len(rows) > 1:
            if any({**row, "prompt": ""} != {**rows[0], "prompt": ""} for row in rows):
                raise OptionError(
                    "--rows-per-request: rows of one request share their options; send them alone"
                )
            body["prompt"] = [row.get("prompt") for row in rows]
        if self._chat and "prompt" in body:
            body["messages"] = [{"role": "user", "content": body.pop("prompt")}]
        wanted = "messages" if self._chat else "prompt"
        if wanted not in body:
            raise OptionError(f"--prompts: a row has no {wanted!r}, only {', '.join(sorted(body))}")
        if self._stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        return Prepared({"model": self._model, **body}, len(rows))

    async def send(self, prepared: Prepared) -> Answer:
        assert self._client is not None
        if not self._stream:
            document = await self._client.whole(self._path, prepared.content)
            return _answer(document.get("usage"), ())
        clock = asyncio.get_running_loop().time
        pieces, usage, ended = [], None, False
        async with aclosing(self._client.events(self._path, prepared.content)) as events:
            async for event in events:
                text, last = _read(event)
                if text:
                    pieces.append(clock())
                ended |= last
                usage = event.get("usage") or usage
        if not ended:
            raise RequestError("UNAVAILABLE", "the answer broke off")
        return _answer(usage, tuple(pieces))

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()


def _read(event: Mapping[str, Any]) -> tuple[bool, bool]:
    """Whether an event has text, thinking and calls included, and whether it ends an answer."""
    try:
        choices = event["choices"]
        texts = [choice.get("text") or choice.get("delta") or {} for choice in choices]
        said = any(
            text if isinstance(text, str) else any(text.get(name) for name in _TEXTS) for text in texts
        )
        return said, any(choice.get("finish_reason") for choice in choices)
    except (LookupError, TypeError, AttributeError):
        raise RequestError("UNKNOWN", of_another_form(json.dumps(event))) from None


def _answer(usage: Any, pieces: tuple[float, ...]) -> Answer:
    counts = usage if isinstance(usage, dict) else {}
    prompt, generated = (counts.get(name) for name in ("prompt_tokens", "completion_tokens"))
    return Answer(
        generated_tokens=generated if isinstance(generated, int) else None,
        prompt_tokens=prompt if isinstance(prompt, int) else None,
        pieces=pieces,
    )
