"""Log-probabilities of tokens in OpenAI's two forms: the lists of completions and the items of chat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from exporter.client.flow import Deadline
from exporter.gateway.served_model import Piece, ServedModel

Ranked = tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Token:
    """A token by its text; ``offset`` is where that starts in the answer."""

    text: str
    logprob: float
    offset: int
    alternatives: Ranked


@dataclass
class TokenReader:
    """The tokens of an answer's pieces, one piece after the other.

    Tokens that begin behind the shown text (a stop string's) are left out: of an answer whose ``stops`` may
    still come, tokens wait until the text that they begin in is shown.
    """

    model: ServedModel
    deadline: Deadline
    alternatives: int
    stops: bool = False
    _offset: int = 0
    _shown: int = 0
    _held: list[Token] = field(default_factory=list)

    async def stream(self, piece: Piece) -> list[Token]:
        """The tokens that a piece's text shows; with the last piece those that the whole answer has."""
        tokens = [*self._held, *await self.read(piece)]
        if not self.stops:
            return tokens
        self._shown += len(piece.text)
        every = piece.finish_reason == "length"
        count = sum(every or token.offset < self._shown for token in tokens)
        self._held = tokens[count:]
        return tokens[:count]

    async def read(self, piece: Piece, shown: int | None = None) -> list[Token]:
        """``shown``: the length of the whole answer's text, where a stop string cut it."""
        ranked = piece.alternatives or ((),) * len(piece.ids)
        wanted = {token for row in ranked for token, _ in row[: self.alternatives]} | set(piece.ids)
        texts = await self.model.token_texts(wanted, self.deadline)
        tokens = []
        for token, value, row in zip(piece.ids, piece.logprobs or (), ranked, strict=True):
            if shown is not None and self._offset >= shown:
                break
            best = tuple((texts[other], logprob) for other, logprob in row[: self.alternatives])
            tokens.append(Token(texts[token], value, self._offset, best))
            self._offset += len(texts[token])
        return tokens


def completion_form(tokens: Sequence[Token]) -> dict[str, Any]:
    """``logprobs`` of a completion's choice. Of alternatives with one text the best counts."""
    return {
        "tokens": [token.text for token in tokens],
        "token_logprobs": [token.logprob for token in tokens],
        "top_logprobs": [
            dict(reversed([*token.alternatives, (token.text, token.logprob)])) for token in tokens
        ],
        "text_offset": [token.offset for token in tokens],
    }


def chat_form(tokens: Sequence[Token]) -> dict[str, Any]:
    """``logprobs`` of a chat's choice."""
    content = [
        {**_item(token.text, token.logprob), "top_logprobs": [_item(*other) for other in token.alternatives]}
        for token in tokens
    ]
    return {"content": content, "refusal": None}


def _item(text: str, logprob: float) -> dict[str, Any]:
    """``bytes`` is None of a token that is no whole character."""
    whole = "\ufffd" not in text
    return {"token": text, "logprob": logprob, "bytes": list(text.encode()) if whole else None}
