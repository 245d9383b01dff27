"""``POST /v1/completions``: from a body to rows, and from their answers to choices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from exporter.client.flow import Deadline
from exporter.gateway import answers, logprobs
from exporter.gateway.answers import Answer, Row
from exporter.gateway.errors import invalid, unsupported
from exporter.gateway.exchange import Exchange
from exporter.gateway.guide_choice import guide_named
from exporter.gateway.logprobs import TokenReader
from exporter.gateway.requests import CompletionBody
from exporter.gateway.row_inputs import options_of
from exporter.gateway.served_model import Piece, Prompt, ServedModel

#: OpenAI's, where a body says nothing.
DEFAULT_MAX_TOKENS = 16
#: The most rows that one body may ask for.
MAX_ROWS = 128


class Completion(Exchange):
    """One request for completions."""

    object = chunk_object = "text_completion"
    id_prefix = "cmpl"

    def __init__(self, model: ServedModel, body: CompletionBody, deadline: Deadline) -> None:
        super().__init__(model, body, deadline)
        self._best_of = max(body.best_of or 1, body.n)
        self._echoed: list[str] = []
        self._readers: dict[int, TokenReader] = {}
        if self._best_of > body.n and body.stream:
            raise invalid("best_of: cannot be streamed; leave it out or set stream to false", "best_of")
        if body.best_of is not None and body.best_of < body.n:
            raise invalid(f"best_of: {body.best_of}; must be n ({body.n}) or more", "best_of")
        if body.echo and body.logprobs is not None:
            raise unsupported("echo: not together with logprobs; signature 'score' has a prompt's", "echo")

    async def rows(self) -> list[Row]:
        body, model = self.body, self.model
        assert isinstance(body, CompletionBody)
        count = len(body.prompts)
        if count * self._best_of > MAX_ROWS:
            raise invalid(f"{count} prompts x {self._best_of} answers: at most {MAX_ROWS} in all", "n")
        prompts = await answers.together([self._prompt(prompt) for prompt in body.prompts])
        for prompt in prompts:
            model.check(prompt)
        self.prompt_tokens = sum(len(prompt.ids) for prompt in prompts)
        if body.echo:
            self._echoed = [
                prompt.text if prompt.text is not None else await model.decode(prompt.ids, self.deadline)
                for prompt in prompts
            ]
        ranked = body.logprobs if body.logprobs is not None else 0 if self._best_of > body.n else None
        options = options_of(body, model.manifest, max_tokens=body.max_tokens)
        options |= guide_named(body.guide, model.manifest)
        signature = answers.choose_signature(
            model,
            body.signature,
            chat=False,
            stream=bool(body.stream),
            ids=any(prompt.text is None for prompt in prompts),
            stops=body.stops,
            logprobs=ranked,
        )
        if "max_new_tokens" in model.manifest.signatures[signature].inputs:
            options.setdefault("max_new_tokens", min(DEFAULT_MAX_TOKENS, model.manifest.max_new_tokens))
        return [
            Row(
                *(model, index, prompt, answers.seeded(model, signature, options, sample)),
                *(body.stops, self.deadline, signature, ranked),
                whole=not (body.stream or body.stops),
            )
            for index, prompt, sample in answers.numbered(prompts, self._best_of)
        ]

    async def _prompt(self, prompt: str | list[int]) -> Prompt:
        if isinstance(prompt, str):
            return await self.model.encode(prompt, self.deadline)
        return Prompt(tuple(prompt))

    async def choices(self, rows: Sequence[Row], found: Sequence[Answer]) -> list[dict[str, Any]]:
        """The best ``n`` of each prompt, in the order of their log-probabilities where there are more."""
        chosen = []
        for start in range(0, len(rows), self._best_of):
            group = list(zip(rows, found, strict=True))[start : start + self._best_of]
            if self._best_of > self.body.n:
                group.sort(key=lambda item: -item[1].mean_logprob)
            chosen += group[: self.body.n]
        return [await self._choice(index, *item) for index, item in enumerate(chosen)]

    async def _choice(self, index: int, row: Row, answer: Answer) -> dict[str, Any]:
        choice = self._form(index, self._before(row) + answer.text, answer.finish_reason)
        if self._asks_logprobs:
            reader = TokenReader(self.model, self.deadline, row.logprobs or 0)
            shown = len(answer.text) if row.stops and answer.finish_reason == "stop" else None
            tokens = [token for piece in answer.pieces for token in await reader.read(piece, shown)]
            choice["logprobs"] = logprobs.completion_form(tokens)
        return choice

    async def opening(self, rows: Sequence[Row]) -> list[dict[str, Any]]:
        return [self._form(row.index, text, None) for row in rows if (text := self._before(row))]

    async def delta(self, row: Row, piece: Piece) -> list[dict[str, Any]]:
        choice = self._form(row.index, piece.text, piece.finish_reason or None)
        if self._asks_logprobs:
            new = TokenReader(self.model, self.deadline, row.logprobs or 0, bool(row.stops))
            reader = self._readers.setdefault(row.index, new)
            choice["logprobs"] = logprobs.completion_form(await reader.stream(piece))
        return [choice]

    @property
    def _asks_logprobs(self) -> bool:
        assert isinstance(self.body, CompletionBody)
        return self.body.logprobs is not None

    def _before(self, row: Row) -> str:
        """The prompt, where it is echoed."""
        return self._echoed[row.index // self._best_of] if self._echoed else ""

    @staticmethod
    def _form(index: int, text: str, reason: str | None) -> dict[str, Any]:
        choice: Mapping[str, Any] = {"index": index, "text": text, "logprobs": None, "finish_reason": reason}
        return dict(choice)
