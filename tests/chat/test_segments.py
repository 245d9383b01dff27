"""Segments tell the template's words from people's: joined they are the rendering, apart they do not mix.

The oracle of who wrote a character is its alphabet: contents are translated to letters that no template has.
"""

from __future__ import annotations

import pytest

from exporter.chat import ChatTemplate, read_chat_template
from exporter.errors import GenserveError
from tests.chat.conversations import conversations
from tests.chat.templates import STYLES, TOKENS
from tests.tokenizer.published import folder_of

#: Templates that this project did not write, too.
PUBLISHED = ["gpt-oss", "mistral-7b-v0.1", "mistral-7b-v0.3-instruct", "phi-3-mini", "qwen2", "qwen3"]
_SHIFT = 0x2800  # braille patterns: no template writes them, no case or white space changes them


def template_of(name: str) -> ChatTemplate:
    if name in STYLES:
        return ChatTemplate(STYLES[name], variables=TOKENS)
    template = read_chat_template(folder_of(name))
    assert template is not None
    return template


def foreign(text: str) -> str:
    """A text in people's own letters; white space and colons, at which templates cut, stay."""
    return "".join(c if c.isspace() or c == ":" or ord(c) > 255 else chr(_SHIFT + ord(c)) for c in text)


def is_foreign(text: str) -> bool:
    return any(0x2800 <= ord(letter) < 0x2900 for letter in text)


def people_wrote(text: str) -> bool:
    """Nothing but their letters, and white space."""
    return all(letter.isspace() or letter == ":" or ord(letter) > 255 for letter in text)


@pytest.mark.parametrize("name", [*STYLES, *PUBLISHED])
def test_joined_they_are_the_rendering_and_apart_they_do_not_mix(name: str) -> None:
    template, told = template_of(name), 0
    for messages in conversations(60, seed=2):
        contents = [foreign(message["content"]) for message in messages]
        for hostile in (True, False):
            given = (
                messages if hostile else [m | {"content": c} for m, c in zip(messages, contents, strict=True)]
            )
            try:
                text = template.render(given)
            except GenserveError:
                with pytest.raises(GenserveError):
                    template.segments(given)
                continue
            segments = template.segments(given)
            assert "".join(segments) == text
            assert len(segments) % 2 == 1
            assert all(segments[1::2])
            if not hostile:
                told += 1
                assert not any(map(is_foreign, segments[::2]))
                if name != "working":  # which shows texts as JSON and lists
                    assert all(map(people_wrote, segments[1::2]))
    assert told > 20
