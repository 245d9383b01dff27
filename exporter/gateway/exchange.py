"""What completions and chat have in common: from rows to an answer's JSON, whole or as events."""

from __future__ import annotations

import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

from exporter.client.flow import Deadline
from exporter.gateway import answers
from exporter.gateway.answers import Answer, Row
from exporter.gateway.requests import Sampling
from exporter.gateway.served_model import Piece, ServedModel


class Exchange(ABC):
    """One request, from its body to its answer.

    Attributes:
      prompt_tokens, completion_tokens: counted as they are known; all answers that were generated count.
    """

    object: str
    chunk_object: str
    id_prefix: str

    def __init__(self, model: ServedModel, body: Sampling, deadline: Deadline) -> None:
        self.model, self.body, self.deadline = model, body, deadline
        self.prompt_tokens = self.completion_tokens = 0
        self._head = {
            "id": f"{self.id_prefix}-{uuid.uuid4().hex}",
            "object": self.object,
            "created": int(time.time()),
            "model": body.model,
        }

    @abstractmethod
    async def rows(self) -> list[Row]:
        """What is asked of the servers; everything that is wrong with the request is found here."""

    @abstractmethod
    async def choices(self, rows: Sequence[Row], found: Sequence[Answer]) -> list[dict[str, Any]]:
        """Of an answer that comes whole."""

    @abstractmethod
    async def opening(self, rows: Sequence[Row]) -> list[dict[str, Any]]:
        """A stream's choices before the first piece."""

    @abstractmethod
    async def delta(self, row: Row, piece: Piece) -> list[dict[str, Any]]:
        """A stream's choices of one piece."""

    @property
    def usage(self) -> dict[str, int]:
        total = self.prompt_tokens + self.completion_tokens
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": total,
        }

    async def whole(self, rows: Sequence[Row]) -> dict[str, Any]:
        """The body of an answer that is not streamed."""
        found = await answers.together([answers.collect(row) for row in rows])
        self.completion_tokens = sum(answer.num_tokens for answer in found)
        choices = await self.choices(rows, found)
        return {**self._head, "choices": choices, "usage": self.usage}

    async def chunks(self, rows: Sequence[Row]) -> AsyncGenerator[dict[str, Any], None]:
        """The events of a streamed answer."""
        wants_usage = self.body.stream_options is not None and self.body.stream_options.include_usage
        for choice in await self.opening(rows):
            yield self._chunk([choice], wants_usage)
        async with aclosing(answers.interleaved(rows)) as pieces:
            async for row, piece in pieces:
                self.completion_tokens += piece.num_tokens
                for choice in await self.delta(row, piece):
                    yield self._chunk([choice], wants_usage)
        if wants_usage:
            yield self._chunk([], False) | {"usage": self.usage}

    def _chunk(self, choices: list[dict[str, Any]], wants_usage: bool) -> dict[str, Any]:
        """With ``include_usage``, every chunk but the last says that it has none."""
        head = {**self._head, "object": self.chunk_object, "choices": choices}
        return head | {"usage": None} if wants_usage else head
