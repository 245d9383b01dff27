"""The asyncio client: concurrent calls share requests."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import numpy as np

from exporter.client import row_calls, token_calls
from exporter.client.address import Model
from exporter.client.answers import (
    Completion,
    Decoding,
    Encoding,
    NextTokens,
    Score,
    SignatureInfo,
    TokenCompletion,
    VersionStatus,
)
from exporter.client.coalescing import Merger
from exporter.client.connect import Server
from exporter.client.errors import RequestError
from exporter.client.flow import Deadline, Flow, Retry, run_async
from exporter.client.row_calls import Call

T = TypeVar("T")


class AsyncClient:
    """``Client`` for asyncio: the same calls, awaited. Belongs to the event loop of its first call.

        import asyncio

        async def main() -> None:
            async with AsyncClient("grpc://localhost:8500", model="stories") as client:
                calls = (client.generate([prompt]) for prompt in ("Once", "The fox"))
                print([answer.text for (answer,) in await asyncio.gather(*calls)])

        asyncio.run(main())

    Rows of concurrent calls to one signature travel as one request: a call waits at most ``merge_delay`` for
    others, and a request has at most ``max_batch_size`` rows. Where a merged request is refused, every call's
    rows are sent once more alone, so that one bad call harms no other. ``predict`` is never merged.

    Args:
      max_batch_size: the most rows in one request; the default is the largest batch of an export with
        defaults (``buckets.batch_sizes`` of the manifest).
      merge_delay: seconds; 0 merges only what is called in the same turn of the event loop.

    The other arguments, and all errors, are those of ``Client``. A request is cancelled when every call in it
    is.
    """

    def __init__(
        self,
        url: str,
        model: str,
        *,
        version: int | None = None,
        label: str | None = None,
        token: str | None = None,
        ca: Path | str | None = None,
        timeout: float = 120.0,
        retries: int = 5,
        max_batch_size: int = 8,
        merge_delay: float = 0.002,
    ) -> None:
        self._server = Server(url, Model(model, version, label), token, ca)
        self._dialect = self._server.dialect()
        row_calls.check_settings(retries, max_batch_size)
        self._timeout, self._retry, self._limit = timeout, Retry(retries), max_batch_size
        self._merger = Merger(self._predict, max_rows=max_batch_size, delay=merge_delay)
        self._signatures: dict[str, SignatureInfo] | None = None
        self._opened: Any = None

    async def generate(
        self,
        prompts: Sequence[str],
        *,
        signature: str | None = None,
        timeout: float | None = None,
        **options: Any,
    ) -> list[Completion]:
        """See ``Client.generate``."""
        deadline = self._deadline(timeout)
        name, columns = row_calls.generate(prompts, signature, options)
        info = await self._signature(name, deadline) if options else None
        return await self._rows(row_calls.generate_call(name, columns, info), deadline)

    async def score(
        self, prompts: Sequence[str], continuations: Sequence[str], *, timeout: float | None = None
    ) -> list[Score]:
        """See ``Client.score``."""
        return await self._rows(row_calls.score(prompts, continuations), self._deadline(timeout))

    async def encode(self, texts: Sequence[str], *, timeout: float | None = None) -> list[Encoding]:
        """See ``Client.encode``."""
        return await self._rows(row_calls.encode(texts), self._deadline(timeout))

    async def decode(self, ids: Sequence[Sequence[int]], *, timeout: float | None = None) -> list[Decoding]:
        """See ``Client.decode``."""
        deadline = self._deadline(timeout)
        return await self._rows(row_calls.decode(ids, await self._signature("decode", deadline)), deadline)

    async def encode_segments(
        self, segments: Sequence[Sequence[str]], *, timeout: float | None = None
    ) -> list[Encoding]:
        """See ``Client.encode_segments``."""
        deadline = self._deadline(timeout)
        info = await self._signature("encode_segments", deadline)
        return await self._rows(token_calls.encode_segments(segments, info), deadline)

    async def generate_tokens(
        self, ids: Sequence[Sequence[int]], *, timeout: float | None = None, **options: Any
    ) -> list[TokenCompletion]:
        """See ``Client.generate_tokens``."""
        deadline = self._deadline(timeout)
        info = await self._signature("generate_tokens", deadline)
        return await self._rows(token_calls.generate_tokens(ids, options, info), deadline)

    async def resume(
        self,
        ids: Sequence[Sequence[int]],
        generated: Sequence[Sequence[int]],
        *,
        piece_tokens: int,
        timeout: float | None = None,
        **options: Any,
    ) -> list[TokenCompletion]:
        """See ``Client.resume``."""
        deadline = self._deadline(timeout)
        info = await self._signature("resume", deadline)
        return await self._rows(token_calls.resume(ids, generated, piece_tokens, options, info), deadline)

    async def next_token(self, prompts: Sequence[str], *, timeout: float | None = None) -> list[NextTokens]:
        """See ``Client.next_token``."""
        return await self._rows(row_calls.next_token(prompts), self._deadline(timeout))

    async def predict(
        self, signature: str, inputs: Mapping[str, Any], *, timeout: float | None = None
    ) -> dict[str, np.ndarray]:
        """See ``Client.predict``."""
        return await self._predict(signature, inputs, self._deadline(timeout))

    async def metadata(self, *, timeout: float | None = None) -> dict[str, SignatureInfo]:
        """See ``Client.metadata``."""
        return await self._run(self._dialect.metadata(), self._deadline(timeout))

    async def status(self, *, timeout: float | None = None) -> list[VersionStatus]:
        """See ``Client.status``."""
        return await self._run(self._dialect.status(), self._deadline(timeout))

    async def close(self) -> None:
        """Cancels what is under way."""
        await self._merger.close()
        if self._opened is not None:
            await self._opened.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _deadline(self, timeout: float | None) -> Deadline:
        return Deadline(self._timeout if timeout is None else timeout)

    async def _run(self, flow: Flow[T], deadline: Deadline) -> T:
        if self._opened is None:
            self._opened = self._server.connection(asynchronous=True)
        try:
            async with asyncio.timeout(deadline.left):
                return await run_async(flow, self._opened.send, deadline, self._retry)
        except TimeoutError:
            raise deadline.exceeded() from None

    async def _signature(self, name: str, deadline: Deadline) -> SignatureInfo:
        signatures = self._signatures
        if signatures is None:
            signatures = self._signatures = await self._run(self._dialect.metadata(), deadline)
        return row_calls.find(signatures, name)

    async def _predict(
        self, signature: str, inputs: Mapping[str, Any], deadline: Deadline
    ) -> dict[str, np.ndarray]:
        row_calls.check_rows(inputs, row_calls.limit(self._limit, self._signatures, signature))
        try:
            return await self._run(self._dialect.predict(signature, inputs), deadline)
        except RequestError:
            self._signatures = None  # perhaps another version answers by now
            raise

    async def _rows(self, call: Call[T], deadline: Deadline) -> list[T]:
        size = row_calls.limit(self._limit, self._signatures, call.signature) or call.rows

        async def part(rows: Call[T]) -> list[T]:
            return rows.read(await self._merger.submit(rows.signature, rows.columns, deadline))

        return [
            answer for answers in await asyncio.gather(*map(part, call.parts(size))) for answer in answers
        ]
