"""A served version as the gateway uses it: prompts to ids, ids to answers in pieces, ids to texts."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from exporter.client.answers import as_text
from exporter.client.errors import RequestError
from exporter.client.flow import Deadline
from exporter.gateway import row_inputs
from exporter.gateway.backend import Predictor
from exporter.gateway.errors import ApiError, invalid, of_server, unsupported
from exporter.manifest import Manifest

#: New tokens of an answer's first pieces; the last one holds for all further ones.
PIECE_TOKENS = (4, 8, 16, 32, 64)
#: The signatures that go on from token ids.
_OF_IDS = ("generate_tokens", "resume")
#: What a row's error says of a prompt that is too long (``saved_model.requests.fit_rows``).
_TOO_LONG = re.compile(r"the prompt has \d+ tokens; allowed: 1 to \d+")


@dataclass(frozen=True)
class Prompt:
    """A prompt's ids; its text too, where it was one.

    ``message``: a chat of one turn, as signature ``chat`` takes it.
    """

    ids: tuple[int, ...]
    text: str | None = None
    message: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Piece:
    """A part of an answer.

    Attributes:
      ids: the generated ids; () where the signature answers text alone.
      num_tokens: how many tokens it has, an end-of-sequence token included.
      finish_reason: "" where more follows, else "stop" or "length".
      logprobs: of each token; None where the export does not answer them.
      alternatives: of each token the most probable ids with their log-probabilities, the best first.
    """

    text: str
    ids: tuple[int, ...]
    num_tokens: int
    finish_reason: str = ""
    logprobs: tuple[float, ...] | None = None
    alternatives: tuple[tuple[tuple[int, float], ...], ...] = ()


class ServedModel:
    """One model behind the gateway, by its manifest; ``predictor`` reaches its servers."""

    def __init__(self, manifest: Manifest, predictor: Predictor) -> None:
        self.manifest, self._predictor = manifest, predictor
        self._token_texts: dict[int, str] = {}
        self._end_of_turn: int | None = None
        for name in ("generate", "generate_tokens", "resume"):
            if self.has(name):
                row_inputs.check_inputs(manifest, name)

    @property
    def longest(self) -> int:
        """The most tokens of a prompt."""
        return self.manifest.buckets.prompt_lengths[-1]

    @property
    def streams(self) -> bool:
        return self.has("resume")

    def has(self, signature: str) -> bool:
        return signature in self.manifest.signatures

    def answering(self, *, chat: bool) -> list[str]:
        """The signatures that answer a prompt, or a chat, with text."""
        known = row_inputs.KNOWN
        return [
            name
            for name, signature in self.manifest.signatures.items()
            if {"generated_text", "num_tokens"} <= signature.outputs.keys()
            and (name in _OF_IDS or ({"user", "system"} if chat else {"text"}) <= signature.inputs.keys())
            and signature.inputs.keys() <= known
        ]

    def logprobs(self, signature: str) -> int | None:
        """How many alternatives of each token a signature answers; None: no log-probabilities at all."""
        if "logprobs" not in self.manifest.signatures[signature].outputs:
            return None
        return int(self.manifest.generation.get("logprobs") or 0)

    async def ready(self, deadline: Deadline) -> bool:
        return await self._predictor.ready(deadline)

    async def close(self) -> None:
        await self._predictor.close()

    async def call(
        self, signature: str, inputs: Mapping[str, Any], deadline: Deadline, *, light: bool = False
    ) -> dict[str, Any]:
        """A row's outputs.

        Raises:
          ApiError: the row's own error (400), or the servers'.
        """
        try:
            outputs = await self._predictor.predict(signature, inputs, deadline, light=light)
        except RequestError as error:
            raise of_server(error) from None
        try:
            answer = {name: np.asarray(value)[0] for name, value in outputs.items()}
        except IndexError:
            raise ApiError(
                502, f"the model server answered {signature!r} without a row", code="bad_gateway"
            ) from None
        if message := as_text(_first(answer.get("error", ""))):
            code = "context_length_exceeded" if _TOO_LONG.search(message) else "invalid_value"
            raise ApiError(400, message, code=code)
        return answer

    async def encode(self, text: str, deadline: Deadline) -> Prompt:
        """A text's ids, with the special tokens that the tokenizer adds."""
        return Prompt(await self._ids("encode", {"text": [text]}, deadline), text)

    async def encode_segments(self, segments: Sequence[str], deadline: Deadline) -> Prompt:
        """A rendered chat's ids; see ``exporter.chat``.

        Raises:
          ApiError: the export has no chat, or takes fewer segments.
        """
        info = self.manifest.signatures.get("encode_segments")
        if info is None:
            raise unsupported(f"model {self.manifest.name} has no chat signature: export it with --chat on")
        width = info.inputs["segments"].shape[1] or len(segments)
        if len(segments) > width:
            raise invalid(f"messages: {len(segments)} pieces of text; this model takes {width}", "messages")
        row = [*segments, *[""] * (width - len(segments))]
        return Prompt(await self._ids("encode_segments", {"segments": [row]}, deadline))

    async def end_of_turn(self, deadline: Deadline) -> int | None:
        """The id of the special token that ends an answer in a chat; None where every answer ends there."""
        chat = self.manifest.chat
        if chat is None or chat.end_of_turn is None:
            return None
        if self._end_of_turn is None:
            ids = (await self.encode_segments([chat.end_of_turn], deadline)).ids
            self._end_of_turn = ids[0] if len(ids) == 1 else -1
        known = (-1, *(self.manifest.generation.get("eos_token_id") or ()))
        return None if self._end_of_turn in known else self._end_of_turn

    async def _ids(self, signature: str, inputs: Mapping[str, Any], deadline: Deadline) -> tuple[int, ...]:
        if not self.has(signature):
            raise unsupported(f"model {self.manifest.name} has no tokenizer: send token ids")
        answer = await self.call(signature, inputs, deadline, light=True)
        return tuple(int(token) for token in answer["input_ids"][: int(answer["num_tokens"])])

    def check(self, prompt: Prompt) -> None:
        """Refuses what the servers would refuse, without asking them.

        Raises:
          ApiError: no token, one beyond the vocabulary, or too many.
        """
        size, vocabulary = len(prompt.ids), self.manifest.model.vocab_size
        if not size:
            raise invalid("the prompt is empty")
        if wrong := [token for token in prompt.ids if not 0 <= token < vocabulary]:
            raise invalid(f"prompt: token id {wrong[0]}; allowed: 0 to {vocabulary - 1}", "prompt")
        if size > self.longest and self.manifest.options.get("overflow", "error") == "error":
            raise ApiError(
                400,
                f"This model's longest prompt is {self.longest} tokens. Your prompt has {size} tokens.",
                code="context_length_exceeded",
            )

    def signature_for(self, *, pieces: bool, ids: bool) -> str:
        """The signature that answers: in pieces where it is wanted and there is one.

        Raises:
          ApiError: ids were sent, and no signature takes them with options.
        """
        names = ["resume", "generate_tokens"] if pieces else ["generate_tokens", "resume"]
        names += [] if ids else ["generate", "serving_default"]
        for name in names:
            if self.has(name):
                return name
        raise unsupported(
            f"model {self.manifest.name} takes no token ids here: export it with "
            "--extra-signatures generate_tokens,resume"
        )

    async def answer(
        self, signature: str, prompt: Prompt, options: Mapping[str, Any], deadline: Deadline, *, whole: bool
    ) -> AsyncGenerator[Piece, None]:
        """The pieces of a row's answer; one, unless the signature is ``resume`` and ``whole`` is False."""
        row = row_inputs.row(self.manifest, signature, options)
        if signature not in _OF_IDS:
            words = {"text": prompt.text} if prompt.message is None else prompt.message
            row |= {name: [value] for name, value in words.items()}
            yield _piece(await self.call(signature, row, deadline))
            return
        row |= {"input_ids": [self._padded(prompt.ids)], "num_tokens": [min(len(prompt.ids), self.longest)]}
        if signature != "resume":
            yield _piece(await self.call(signature, row, deadline))
            return
        async for piece in self._resumed(row, deadline, whole=whole):
            yield piece

    async def _resumed(
        self, row: dict[str, Any], deadline: Deadline, *, whole: bool
    ) -> AsyncGenerator[Piece, None]:
        width = self.manifest.signatures["resume"].inputs["generated_ids"].shape[1] or 0
        most = min(
            self.manifest.max_new_tokens, int(self.manifest.options.get("resume_piece", PIECE_TOKENS[-1]))
        )
        sizes = iter([most] if whole else PIECE_TOKENS)
        size, done = most, list[int]()
        while True:
            size = next(sizes, size)
            state = {
                "generated_ids": [done + [0] * (width - len(done))],
                "num_generated": [len(done)],
                "piece_tokens": [min(size, most)],
            }
            piece = _piece(await self.call("resume", row | state, deadline))
            yield piece
            if piece.finish_reason:
                return
            if not piece.num_tokens:
                raise ApiError(502, "the model server answered a piece without a token", code="bad_gateway")
            done += piece.ids

    def _padded(self, ids: Sequence[int]) -> list[int]:
        """To the signature's width; what is too long is cut where the export says so."""
        overflow = self.manifest.options.get("overflow")
        kept = ids[-self.longest :] if overflow == "truncate_left" else ids[: self.longest]
        return [*kept, *[0] * (self.longest - len(kept))]

    async def token_texts(self, ids: Iterable[int], deadline: Deadline) -> dict[int, str]:
        """What single tokens add to a text. Asked once each: with themselves before them, less that.

        A tokenizer that drops a space at the start of a text would drop it of a token alone, too.
        """
        wanted = sorted(set(ids) - self._token_texts.keys())
        if wanted and not self.has("decode"):
            raise unsupported(f"logprobs: model {self.manifest.name} has no tokenizer", "logprobs")
        for token in wanted:
            alone, twice = [await self._decode([token] * count, deadline) for count in (1, 2)]
            self._token_texts[token] = twice.removeprefix(alone) if twice.startswith(alone) else alone
        return self._token_texts

    async def decode(self, ids: Sequence[int], deadline: Deadline) -> str:
        """The text of ids."""
        return await self._decode(list(ids), deadline)

    async def _decode(self, ids: list[int], deadline: Deadline) -> str:
        width = self.manifest.signatures["decode"].inputs["input_ids"].shape[1] or len(ids)
        row = {"input_ids": [ids + [0] * (width - len(ids))], "num_tokens": [len(ids)]}
        return as_text((await self.call("decode", row, deadline, light=True))["text"])


def _first(value: Any) -> Any:
    """The entry of ``[n]`` outputs, or the value itself."""
    flat = np.ravel(np.asarray(value, object))
    return flat[0] if len(flat) else ""


def _piece(answer: Mapping[str, Any]) -> Piece:
    count = int(_first(answer["num_tokens"]))
    reason = as_text(_first(answer["finish_reason"]))
    ids = tuple(int(token) for token in np.ravel(answer.get("generated_ids", ()))[:count])
    chosen = answer.get("logprobs")
    tops: tuple[Any, ...] = ()
    if "top_tokens" in answer:
        columns = (
            np.reshape(answer[name], (-1, answer[name].shape[-1]))[:count].tolist()
            for name in ("top_tokens", "top_logprobs")
        )
        tops = tuple(tuple(zip(tokens, values, strict=True)) for tokens, values in zip(*columns, strict=True))
    return Piece(
        as_text(_first(answer.get("generated_text", ""))),
        ids,
        count,
        reason,
        None if chosen is None else tuple(float(value) for value in np.ravel(chosen)[:count]),
        tops,
    )
