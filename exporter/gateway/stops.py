"""Stop strings of a request, found in an answer that comes in pieces."""

from __future__ import annotations

from collections.abc import Sequence


class StopCutter:
    """Passes text on up to the first stop string; what may still become one is held back.

    cutter = StopCutter(["END"])
    cutter.feed("the E")   # "the "
    cutter.feed("NDING")   # "", and cutter.stopped
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._held = ""
        self.stopped = False

    def feed(self, text: str) -> str:
        """What may be shown of the text so far and was not yet."""
        if self.stopped:
            return ""
        text = self._held + text
        # The one that is complete first, however the text was cut into pieces; of several the longest.
        found = [(place + len(stop), place) for stop in self._stops if (place := text.find(stop)) >= 0]
        if found:
            self.stopped, self._held = True, ""
            return text[: min(found)[1]]
        kept = max((overlap(text, stop) for stop in self._stops), default=0)
        shown, self._held = text[: len(text) - kept], text[len(text) - kept :]
        return shown

    def end(self) -> str:
        """What was held back, once no more text comes."""
        held, self._held = self._held, ""
        return held


def overlap(text: str, word: str) -> int:
    """How many characters at the end of ``text`` could be the start of ``word``, not the whole of it."""
    longest = min(len(text), len(word) - 1)
    return next((size for size in range(longest, 0, -1) if text.endswith(word[:size])), 0)
