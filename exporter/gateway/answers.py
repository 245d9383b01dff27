"""The answer to one row, with the request's own stop strings; and several rows at once."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, Awaitable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from exporter.client.flow import Deadline
from exporter.client.row_calls import NEUTRAL
from exporter.errors import did_you_mean
from exporter.gateway.errors import invalid, unsupported
from exporter.gateway.row_inputs import export_defaults
from exporter.gateway.served_model import Piece, Prompt, ServedModel
from exporter.gateway.stops import StopCutter

T = TypeVar("T")


@dataclass(frozen=True)
class Row:
    """What one answer is asked with.

    Attributes:
      index: its place among the choices.
      stops: cut here, by text; the model knows nothing of them.
      logprobs: how many alternatives of each token are asked for; None: no log-probabilities.
      whole: that the answer comes in one piece.
    """

    model: ServedModel
    index: int
    prompt: Prompt
    options: Mapping[str, Any]
    stops: tuple[str, ...]
    deadline: Deadline
    signature: str
    logprobs: int | None = None
    whole: bool = False

    async def pieces(self) -> AsyncGenerator[Piece, None]:
        """The answer; ends at the first stop string, of which nothing is shown."""
        cutter = StopCutter(self.stops)
        pieces = self.model.answer(self.signature, self.prompt, self.options, self.deadline, whole=self.whole)
        async with aclosing(pieces):
            async for piece in pieces:
                text = cutter.feed(piece.text)
                if piece.finish_reason and not cutter.stopped:
                    text += cutter.end()
                yield replace(
                    piece, text=text, finish_reason="stop" if cutter.stopped else piece.finish_reason
                )
                if cutter.stopped:
                    return


@dataclass
class Answer:
    """A row's pieces put together."""

    text: str = ""
    num_tokens: int = 0
    finish_reason: str = ""
    pieces: list[Piece] = field(default_factory=list)

    def add(self, piece: Piece) -> None:
        self.text += piece.text
        self.num_tokens += piece.num_tokens
        self.finish_reason = piece.finish_reason or self.finish_reason
        self.pieces.append(piece)

    @property
    def mean_logprob(self) -> float:
        """By which ``best_of`` chooses."""
        values = [value for piece in self.pieces for value in piece.logprobs or ()]
        return sum(values) / len(values) if values else float("-inf")


def choose_signature(
    model: ServedModel,
    named: str | None,
    *,
    chat: bool,
    stream: bool,
    ids: bool,
    stops: Sequence[str],
    logprobs: int | None,
) -> str:
    """The signature that answers: the ``named`` one, or the one that can; in pieces for a stream, or where a
    stop string may end the answer early.

    Raises:
      ApiError: there is none, or none with log-probabilities.
    """
    if named is not None:
        return _named(model, named, chat=chat, ids=ids, logprobs=logprobs)
    signature = model.signature_for(pieces=stream or bool(stops), ids=ids)
    if logprobs is None:
        return signature
    others = [name for name in ("resume", "generate_tokens") if model.has(name)]
    for name in (signature, *others):
        known = model.logprobs(name)
        if name in others and known is not None and known >= logprobs:
            return name
    raise unsupported(
        f"logprobs: model {model.manifest.name} does not answer {logprobs} alternatives of each token: "
        f"export it with -g logprobs={logprobs} and --extra-signatures generate_tokens,resume",
        "logprobs",
    )


def _named(model: ServedModel, name: str, *, chat: bool, ids: bool, logprobs: int | None) -> str:
    of_ids = ("generate_tokens", "resume")
    known = [one for one in model.answering(chat=chat) if chat or not ids or one in of_ids]
    if name not in known:
        raise invalid(
            f"signature: {name[:80]!r}{did_you_mean(name, known)}; this request may name "
            f"{', '.join(known) or 'none'}",
            "signature",
        )
    most = model.logprobs(name) if name in of_ids else None
    if logprobs is not None and (most is None or most < logprobs):
        raise unsupported(f"logprobs: signature {name!r} does not answer {logprobs} alternatives", "logprobs")
    return name


async def collect(row: Row) -> Answer:
    answer = Answer()
    async with aclosing(row.pieces()) as pieces:
        async for piece in pieces:
            answer.add(piece)
    return answer


async def together(calls: Sequence[Awaitable[T]]) -> list[T]:
    """Every result; where one fails, the rest is cancelled, and its error raised."""
    tasks = [asyncio.ensure_future(call) for call in calls]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def interleaved(rows: Sequence[Row]) -> AsyncGenerator[tuple[Row, Piece], None]:
    """The pieces of several rows as they come. Each row is one piece ahead of the reader at most."""
    queue: asyncio.Queue[tuple[Row, Piece] | Exception | None] = asyncio.Queue(1)

    async def feed(row: Row) -> None:
        try:
            async with aclosing(row.pieces()) as pieces:
                async for piece in pieces:
                    await queue.put((row, piece))
            await queue.put(None)
        except Exception as error:
            await queue.put(error)

    tasks = [asyncio.create_task(feed(row)) for row in rows]
    try:
        left = len(tasks)
        while left:
            item = await queue.get()
            if isinstance(item, Exception):
                raise item
            if item is None:
                left -= 1
            else:
                yield item
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def seeded(model: ServedModel, signature: str, options: Mapping[str, Any], sample: int) -> dict[str, Any]:
    """Of several answers to a prompt each draws with its own seed, counted from the request's, or from the
    export's where the signature takes one. Without either each row draws its own.
    """
    takes = "seed" in model.manifest.signatures[signature].inputs
    seed = options.get("seed", export_defaults(model.manifest).get("seed") if takes else None)
    if seed is None or seed == NEUTRAL["seed"]:
        return dict(options)
    return {**options, "seed": (seed + sample) % 2**63}


def numbered(prompts: Sequence[Prompt], samples: int) -> list[tuple[int, Prompt, int]]:
    """(index, prompt, sample): a prompt's answers stand side by side."""
    places = itertools.product(prompts, range(samples))
    return [(index, prompt, sample) for index, (prompt, sample) in enumerate(places)]
