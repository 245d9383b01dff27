"""A model's reasoning, told from its answer by the template's markers, as the text comes."""

from __future__ import annotations

from exporter.gateway.stops import overlap


class ReasoningReader:
    """Splits a text into (reasoning, content). Line breaks around the markers belong to neither.

    Args:
      markers: what begins and ends the reasoning.
      begun: whether the prompt has written the first marker already.
    """

    def __init__(self, markers: tuple[str, str], *, begun: bool) -> None:
        self._open, self._close = markers
        self._state = "reasoning" if begun else "before"
        self._held = ""

    def feed(self, text: str) -> tuple[str, str]:
        self._held += text
        reasoning = content = ""
        if self._state == "before":
            self._look_for_start()
        if self._state == "reasoning":
            reasoning = self._until_close()
        if self._state == "gap" and (rest := self._held.lstrip("\n")):
            self._held, self._state = rest, "content"
        if self._state == "content":
            content, self._held = self._held, ""
        return reasoning, content

    def end(self) -> tuple[str, str]:
        """What was held back."""
        held, self._held = self._held, ""
        if self._state == "gap":
            held = ""
        return (held.rstrip("\n"), "") if self._state == "reasoning" else ("", held)

    def _look_for_start(self) -> None:
        start = self._held.lstrip()
        if start.startswith(self._open):
            self._held, self._state = start.removeprefix(self._open), "reasoning"
        elif not self._open.startswith(start):
            self._state = "content"

    def _until_close(self) -> str:
        if not (text := self._held.lstrip("\n") if self._first else self._held):
            return ""
        place = text.find(self._close)
        if place >= 0:
            self._held, self._state = text[place + len(self._close) :], "gap"
            return text[:place].rstrip("\n")
        kept = overlap(text, self._close)
        bare = text[: len(text) - kept].rstrip("\n")
        self._held = text[len(bare) :]
        self._first = False
        return bare

    _first = True
