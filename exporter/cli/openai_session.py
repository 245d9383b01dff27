"""A chat with a server of OpenAI's API: a gateway, or another one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from exporter.cli.chat_session import Messages
from exporter.errors import OptionError

if TYPE_CHECKING:
    from exporter.client.openai_api import OpenAiClient

#: Fields of a body that the chat itself decides on: what is shown is one answer, as text.
_TAKEN = {"model", "messages", "n", "stream", "stream_options", "tools", "functions"}


class OpenAiSession(Messages):
    """``options`` are fields of the body; the server says which it takes."""

    def __init__(self, client: OpenAiClient) -> None:
        super().__init__()
        self._client = client

    def set(self, name: str, value: Any) -> None:
        """A field of the body.

        Raises:
          OptionError: the chat sets it itself.
        """
        if name in _TAKEN:
            raise OptionError(f"option: {name!r} is no option of a chat here")
        self.options[name] = value

    def answer(self, text: str) -> Iterator[tuple[str, bool]]:
        """As ``ChatSession.answer``. Thinking, which such servers send apart, does not join the chat."""
        asked = [*self.messages, {"role": "user", "content": text}]
        written = []
        for delta in self._client.chat(asked, self.options):
            if thought := delta.get("reasoning_content"):
                yield str(thought), True
            if said := delta.get("content"):
                written.append(str(said))
                yield written[-1], False
        self.messages = [*asked, {"role": "assistant", "content": "".join(written)}]
