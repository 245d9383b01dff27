"""``POST /v1/chat/completions``: messages to ids by the checkpoint's template, answers to messages."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from exporter.chat import ChatTemplate
from exporter.client.flow import Deadline
from exporter.errors import GenserveError
from exporter.gateway import answers, logprobs, messages, tools
from exporter.gateway.answers import Answer, Row
from exporter.gateway.errors import invalid, unsupported
from exporter.gateway.exchange import Exchange
from exporter.gateway.guide_choice import guide_named, guide_of_format
from exporter.gateway.logprobs import TokenReader
from exporter.gateway.message_reader import MessageReader
from exporter.gateway.requests import ChatBody
from exporter.gateway.row_inputs import options_of
from exporter.gateway.served_model import Piece, Prompt, ServedModel
from exporter.manifest import ChatInfo

#: What the gateway sets itself.
_TAKEN = {"messages", "tools", "add_generation_prompt"}


class Chat(Exchange):
    """One request for a chat's next message."""

    object, chunk_object = "chat.completion", "chat.completion.chunk"
    id_prefix = "chatcmpl"

    def __init__(self, model: ServedModel, body: ChatBody, deadline: Deadline) -> None:
        super().__init__(model, body, deadline)
        self._chat = body
        if model.manifest.chat is None:
            raise unsupported(
                f"model {model.manifest.name} has no chat template: export it with --chat on, or ask "
                "/v1/completions"
            )
        self._info = model.manifest.chat
        self._names = messages.check_tools(body.tools or ())
        self._form = tools.form_of(self._info.tool_use or self._info.template)
        self._begun = False
        self._readers: dict[int, MessageReader] = {}
        self._tokens: dict[int, TokenReader] = {}
        self._check()

    def _check(self) -> None:
        body = self._chat
        if body.top_logprobs is not None and not body.logprobs:
            raise invalid("top_logprobs: logprobs must be true", "top_logprobs")
        if body.tools and self._form is None:
            raise unsupported(f"tools: the chat template of {self.model.manifest.name} has none", "tools")
        if body.tool_choice not in (None, "auto", "none"):
            raise unsupported(
                "tool_choice: allowed: auto, none; a call cannot be forced without a guide of the export "
                "(field guide)",
                "tool_choice",
            )
        if wrong := sorted(_TAKEN & body.chat_template_kwargs.keys()):
            raise invalid(f"chat_template_kwargs: {wrong[0]} is a field of its own", "chat_template_kwargs")

    @property
    def _offered(self) -> bool:
        """Whether the model may call tools."""
        return bool(self._chat.tools) and self._chat.tool_choice != "none"

    async def rows(self) -> list[Row]:
        body, manifest = self._chat, self.model.manifest
        options = self._options()
        prompt = await self._prompt()
        self.model.check(prompt)
        self.prompt_tokens = len(prompt.ids)
        ranked = (body.top_logprobs or 0) if body.logprobs else None
        signature = answers.choose_signature(
            *(self.model, body.signature),
            chat=True,
            stream=bool(body.stream),
            ids=True,
            stops=body.stops,
            logprobs=ranked,
        )
        ids_go = "input_ids" in manifest.signatures[signature].inputs
        if not ids_go:
            prompt = replace(prompt, message=self._single())
        options.setdefault("max_new_tokens", manifest.max_new_tokens)
        end = await self.model.end_of_turn(self.deadline)
        if ids_go and end is not None and "guide" not in options:  # a guide says itself where an answer ends
            options["stop_token_ids"] = [*options.get("stop_token_ids", ()), end]
        rows = [
            Row(
                *(self.model, index, prompt, answers.seeded(self.model, signature, options, sample)),
                *(body.stops, self.deadline, signature, ranked),
                whole=not (body.stream or body.stops),
            )
            for index, _, sample in answers.numbered([prompt], body.n)
        ]
        self._readers = {row.index: self._reader() for row in rows}
        self._tokens = {
            row.index: TokenReader(self.model, self.deadline, ranked or 0, bool(body.stops)) for row in rows
        }
        return rows

    def _single(self) -> dict[str, str]:
        """The chat as a signature with the inputs ``user`` and ``system`` takes it: it renders it itself."""
        body = self._chat
        given = messages.for_template(body.messages)
        roles = [message["role"] for message in given]
        if roles not in (["user"], ["system", "user"]) or self._offered or body.chat_template_kwargs:
            raise invalid(
                f"signature: {body.signature!r} takes one user message, a system message before it, and "
                "neither tools nor chat_template_kwargs",
                "signature",
            )
        return {"system": "", **{message["role"]: message["content"] for message in given}}

    def _options(self) -> dict[str, Any]:
        body, manifest = self._chat, self.model.manifest
        if None not in (body.max_tokens, body.max_completion_tokens):
            raise invalid("give max_tokens or max_completion_tokens, not both", "max_tokens")
        limit = body.max_completion_tokens if body.max_tokens is None else body.max_tokens
        guide = guide_of_format(body.response_format, manifest)
        if guide and body.guide:
            raise invalid("give guide or response_format, not both", "guide")
        return options_of(body, manifest, max_tokens=limit) | (guide or guide_named(body.guide, manifest))

    def _reader(self) -> MessageReader:
        form = self._form if self._offered else None
        return MessageReader(self._info.reasoning, self._begun, form, self._names)

    async def _prompt(self) -> Prompt:
        """Rendered in a thread: a template is a program, and may take its time over a long chat."""
        body = self._chat
        template = _template(self._info.model_dump_json())
        given = messages.for_template(body.messages)
        try:
            segments = await asyncio.to_thread(
                template.segments,
                given,
                tools=body.tools if self._offered else None,
                add_generation_prompt=body.add_generation_prompt,
                **body.chat_template_kwargs,
            )
        except GenserveError as error:
            raise invalid(str(error), "messages") from None
        if self._info.reasoning is not None:
            self._begun = segments[-1].rstrip().endswith(self._info.reasoning[0])
        return await self.model.encode_segments(segments, self.deadline)

    async def choices(self, rows: Sequence[Row], found: Sequence[Answer]) -> list[dict[str, Any]]:
        return [await self._choice(row, answer) for row, answer in zip(rows, found, strict=True)]

    async def _choice(self, row: Row, answer: Answer) -> dict[str, Any]:
        reader = self._readers[row.index]
        message = reader.message(answer.text)
        choice: dict[str, Any] = {
            "index": row.index,
            "message": message,
            "logprobs": None,
            "finish_reason": reader.reason(answer.finish_reason),
        }
        if self._chat.logprobs:
            shown = len(answer.text) if row.stops and answer.finish_reason == "stop" else None
            read = self._tokens[row.index].read
            tokens = [token for piece in answer.pieces for token in await read(piece, shown)]
            choice["logprobs"] = logprobs.chat_form(tokens)
        return choice

    async def opening(self, rows: Sequence[Row]) -> list[dict[str, Any]]:
        return [_delta(row.index, {"role": "assistant", "content": ""}) for row in rows]

    async def delta(self, row: Row, piece: Piece) -> list[dict[str, Any]]:
        reader = self._readers[row.index]
        deltas = [_delta(row.index, change) for change in reader.feed(piece.text)]
        if self._chat.logprobs:
            tokens = await self._tokens[row.index].stream(piece)
            if tokens and not deltas:
                deltas = [_delta(row.index, {"content": ""})]
            if tokens:
                deltas[0]["logprobs"] = logprobs.chat_form(tokens)
        if piece.finish_reason:
            deltas += [_delta(row.index, change) for change in reader.end()]
            deltas.append({**_delta(row.index, {}), "finish_reason": reader.reason(piece.finish_reason)})
        return deltas


@lru_cache(maxsize=16)
def _template(info: str) -> ChatTemplate:
    """Compiled once for each model."""
    chat = ChatInfo.model_validate_json(info)
    return ChatTemplate(chat.template, variables=chat.variables, tool_use=chat.tool_use)


def _delta(index: int, change: dict[str, Any]) -> dict[str, Any]:
    return {"index": index, "delta": change, "logprobs": None, "finish_reason": None}
