"""From a model's text to an assistant's message: reasoning, content and tool calls."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from exporter.gateway.reasoning import ReasoningReader
from exporter.gateway.tools import Form, ToolReader


class MessageReader:
    """One answer's text, as a whole (``message``) or as it comes (``feed``, ``end``).

    Args:
      reasoning: the markers around it, where the model has them; ``begun``: the prompt wrote the first.
      form: how the model writes tool calls; None: it may call none.
      names: of the tools that it may call.
    """

    def __init__(
        self, reasoning: tuple[str, str] | None, begun: bool, form: Form | None, names: Collection[str]
    ) -> None:
        self._reasoning = ReasoningReader(reasoning, begun=begun) if reasoning else None
        self._tools = ToolReader(form, names) if form else None

    def feed(self, text: str) -> list[dict[str, Any]]:
        """The changes (``delta``) that a piece of text makes."""
        reasoning, content = self._reasoning.feed(text) if self._reasoning else ("", text)
        return self._changes(reasoning, self._tools.feed(content) if self._tools else content)

    def end(self) -> list[dict[str, Any]]:
        """The last changes; tool calls are whole."""
        reasoning, content = self._reasoning.end() if self._reasoning else ("", "")
        if self._tools is None:
            return self._changes(reasoning, content)
        content = self._tools.feed(content) + self._tools.end()
        changes = self._changes(reasoning, content)
        calls = [{"index": place, **call} for place, call in enumerate(self._tools.calls)]
        return [*changes, *([{"tool_calls": calls}] if calls else [])]

    def message(self, text: str) -> dict[str, Any]:
        """The whole message."""
        changes = [*self.feed(text), *self.end()]
        content = "".join(change.get("content", "") for change in changes)
        reasoning = "".join(change.get("reasoning_content", "") for change in changes)
        message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": None}
        if reasoning:
            message["reasoning_content"] = reasoning
        if self._tools is not None and self._tools.calls:
            message |= {"content": content or None, "tool_calls": self._tools.calls}
        return message

    def reason(self, finish_reason: str) -> str:
        """``finish_reason`` of the choice, once the text has ended."""
        return "tool_calls" if self._tools is not None and self._tools.calls else finish_reason

    @staticmethod
    def _changes(reasoning: str, content: str) -> list[dict[str, Any]]:
        found = {"reasoning_content": reasoning, "content": content}
        return [{name: text} for name, text in found.items() if text]
