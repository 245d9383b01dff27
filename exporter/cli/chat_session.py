"""One chat with a served model: its messages, and how an answer is asked for and told apart."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from exporter.client.row_calls import EXTRA_NEUTRAL, NEUTRAL
from exporter.errors import OptionError, ServingError, did_you_mean

if TYPE_CHECKING:
    from exporter.chat import ChatTemplate
    from exporter.client.answers import SignatureInfo, TokenCompletion
    from exporter.client.blocking import Client
    from exporter.manifest import ChatInfo, Manifest

#: What sampling alone reads; greedy search leaves them off.
_SAMPLING = {"temperature", "top_k", "top_p", "min_p"}
_PIECE = 64


def chat_of(manifest: Manifest) -> ChatInfo:
    """The template's facts.

    Raises:
      OptionError: the version serves no chat template.
    """
    if manifest.chat is None:
        raise OptionError(
            f"{manifest.name} version {manifest.version} serves no chat template: export a checkpoint that "
            "has one, with --chat on"
        )
    return manifest.chat


class Messages:
    """Of a chat, a system message first where there is one; and the options of its answers.

    Attributes:
      messages: as the template, or the server, gets them.
      options, variables: of the answers, and of the template.
    """

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.options: dict[str, Any] = {}
        self.variables: dict[str, Any] = {}

    @property
    def system(self) -> str:
        """The system message, "" for none."""
        first = self.messages[0] if self.messages else {}
        return str(first["content"]) if first.get("role") == "system" else ""

    @system.setter
    def system(self, text: str) -> None:
        rest = self.messages[1:] if self.system else self.messages
        self.messages = [*([{"role": "system", "content": text}] if text else []), *rest]

    def reset(self) -> None:
        """Forgets everything but the system message."""
        self.messages = self.messages[:1] if self.system else []


class ChatSession(Messages):
    """A chat with a server's signatures.

    Without further ``options`` of the signature those are the export's own.
    """

    def __init__(self, client: Client, manifest: Manifest) -> None:
        """Raises OptionError where the server's version lacks what a chat needs, naming it."""
        from exporter.chat import ChatTemplate

        super().__init__()
        facts = chat_of(manifest)
        self._client = client
        self._facts = facts
        self.template: ChatTemplate = ChatTemplate(
            facts.template, variables=facts.variables, tool_use=facts.tool_use
        )
        self._signature, self._inputs = _signature(client.metadata())
        self._piece = min(int(manifest.options.get("resume_piece", _PIECE)), manifest.max_new_tokens)
        self.options = _own_options(manifest)

    def set(self, name: str, value: Any) -> None:
        """An option of the signature, or a variable of the template.

        Raises:
          OptionError: it is neither.
        """
        options = (NEUTRAL | EXTRA_NEUTRAL | {"max_new_tokens": 0}).keys() & self._inputs.inputs.keys()
        if name in options:
            self.options[name] = value
        elif name in self.template.reads - {"messages", "tools", "add_generation_prompt"}:
            self.variables[name] = value
        else:
            known = sorted(options | self.template.reads)
            raise OptionError(
                f"option {name!r} is neither an input of {self._signature!r} nor a variable of the chat "
                f"template{did_you_mean(name, known)}"
            )

    def answer(self, text: str) -> Iterator[tuple[str, bool]]:
        """Asks, and gives the answer as it comes: (piece of text, whether it is thinking).

        The message and its answer join the chat once the answer has ended; a failed one leaves it as it was.

        Raises:
          GenserveError: from the template, the server, or the row.
        """
        asked = [*self.messages, {"role": "user", "content": text}]
        opening = "".join(self._facts.reasoning[:1]) if self._facts.reasoning and self._facts.opened else ""
        written = [opening]
        pieces = self._pieces(self.template.segments(asked, **self.variables))
        for piece, thinking in told_apart(pieces, self._facts.reasoning, opened=self._facts.opened):
            written.append(piece)
            yield piece, thinking
        self.messages = [*asked, {"role": "assistant", "content": "".join(written)}]

    def _pieces(self, segments: list[str]) -> Iterator[str]:
        prompt = self._client.encode_segments([segments])[0]
        if prompt.error:
            raise ServingError(prompt.error)
        # An answer in pieces draws from one seed.
        options = (
            self.options | {"seed": secrets.randbits(62)} if self.options["seed"] == -1 else self.options
        )
        ids: tuple[int, ...] = ()
        while True:
            answer = self._ask(prompt.ids, ids, options)
            if answer.error:
                raise ServingError(answer.error)
            yield answer.text
            ids += answer.ids
            if answer.finish_reason or not answer.ids:
                return

    def _ask(
        self, prompt: tuple[int, ...], so_far: tuple[int, ...], options: dict[str, Any]
    ) -> TokenCompletion:
        if self._signature == "generate_tokens":
            return self._client.generate_tokens([prompt], **options)[0]
        return self._client.resume([prompt], [so_far], piece_tokens=self._piece, **options)[0]


def told_apart(
    pieces: Iterable[str], reasoning: tuple[str, str] | None, *, opened: bool
) -> Iterator[tuple[str, bool]]:
    """Pieces of an answer, each with whether it is thinking; joined they are the answer, markers included.

    What may be the beginning of a marker is held back until it is known.
    """
    if reasoning is None:
        yield from ((piece, False) for piece in pieces if piece)
        return
    start, end = reasoning
    marker, thinking, held = (end, True, "") if opened else (start, False, "")
    for piece in pieces:
        held += piece
        while (place := held.find(marker)) >= 0:
            # Both markers belong to the thinking.
            before, after = (place, place + len(marker)) if marker == start else (place + len(marker),) * 2
            yield from _filled((held[:before], thinking), (held[before:after], True))
            held, thinking = held[after:], marker == start
            marker = end if thinking else start
        keep = _overlap(held, marker)
        yield from _filled((held[: len(held) - keep], thinking))
        held = held[len(held) - keep :]
    yield from _filled((held, thinking))


def _filled(*parts: tuple[str, bool]) -> Iterator[tuple[str, bool]]:
    return (part for part in parts if part[0])


def _overlap(text: str, marker: str) -> int:
    """How many characters at the end of a text begin the marker."""
    return next((n for n in range(min(len(text), len(marker)), 0, -1) if marker.startswith(text[-n:])), 0)


def _signature(signatures: dict[str, SignatureInfo]) -> tuple[str, SignatureInfo]:
    """The one that answers: in pieces where there is one for it."""
    name = next((name for name in ("resume", "generate_tokens") if name in signatures), None)
    if missing := [
        *(["encode_segments"] if "encode_segments" not in signatures else []),
        *(["resume or generate_tokens"] if name is None else []),
    ]:
        raise OptionError(
            f"the served version has no signature {' and no '.join(missing)}: export it with a chat template "
            "and --extra-signatures generate_tokens,resume"
        )
    assert name is not None
    return name, signatures[name]


def _own_options(manifest: Manifest) -> dict[str, Any]:
    """The export's own generation options, as per-row options."""
    own = {
        name: manifest.generation[name]
        for name in NEUTRAL
        if manifest.generation.get(name) is not None
        and (name not in _SAMPLING or manifest.generation.get("do_sample"))
    }
    return {"max_new_tokens": manifest.max_new_tokens, "seed": -1, **own}
