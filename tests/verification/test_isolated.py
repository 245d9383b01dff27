"""What the process that loads a version makes of golden requests."""

from __future__ import annotations

from typing import Any

from exporter.verification.isolated import Session


class Words(Session):
    """A version whose tokens are the letters of a text."""

    def __init__(self) -> None:
        pass

    def run(self, name: str, inputs: dict[str, Any]) -> dict[str, Any]:
        return {"num_tokens": [len(text) for text in inputs["text"]]}


def test_the_long_neighbour_of_a_chat_is_long_whatever_comes_first() -> None:
    for row in ({"system": [b""], "user": [b"abc"]}, {"user": [b"abc"], "system": [b""]}):
        assert Words()._long(row, 20) == {"system": [b""], "user": [b"abc" * 3]}
    assert Words()._long({"continuation": [b"longer"], "text": [b"abc"]}, 20)["text"] == [b"abc" * 6]
