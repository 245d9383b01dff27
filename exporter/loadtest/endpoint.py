"""What is tested: something that prepares requests once and then sends each as often as it is asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from exporter.client.errors import RequestError

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Prepared:
    """A request, ready to be sent.

    Attributes:
      content: what the endpoint sends.
      prompt_tokens: of all rows; None: not known before the answer.
      longest: tokens of the longest row, which choose the bucket.
    """

    content: Any
    rows: int
    prompt_tokens: int | None = None
    longest: int | None = None


@dataclass(frozen=True)
class Answer:
    """What came back.

    Attributes:
      row_errors: of the rows that were refused.
      pieces: when text came, by the event loop's clock; of streamed answers.
      prompt_tokens: of all rows, where the server counts them.
    """

    row_errors: tuple[str, ...] = ()
    generated_tokens: int | None = None
    prompt_tokens: int | None = None
    pieces: tuple[float, ...] = ()


class Endpoint(Protocol):
    """A model on a server.

    Attributes:
      buckets: its prompt lengths, where they are known.
      longest: the longest prompt, where it is known.
    """

    buckets: tuple[int, ...]
    longest: int | None

    async def open(self) -> None:
        """Connects and reads what is to be known; raises RequestError or OptionError."""

    async def tokens(self, texts: Sequence[str]) -> list[int | None]:
        """How many tokens prompts have; None of those that cannot be counted."""

    async def prepare(self, rows: Sequence[Row]) -> Prepared:
        """One request; raises OptionError for rows that no request can hold."""

    async def send(self, prepared: Prepared) -> Answer:
        """Raises ServingError where there is no answer."""

    async def close(self) -> None: ...


@asynccontextmanager
async def within(seconds: float) -> AsyncIterator[None]:
    """Raises RequestError where it takes longer."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise RequestError("DEADLINE_EXCEEDED", f"no answer within {seconds:g} s") from None
