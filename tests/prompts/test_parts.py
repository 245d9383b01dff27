"""Prompts of parts in the graph, and thinking told from answers: against Python's own strings."""

from __future__ import annotations

import pytest
import tensorflow as tf

from exporter.chat import Field, Prompt, Reasoning, Strip
from exporter.prompts.parts import chosen, missing, prompt_parts, stripped
from exporter.prompts.thinking import split_thinking

WHITE = "".join(chr(point) for point in range(0x110000) if chr(point).isspace())
TEXTS = [
    "",
    " a b ",
    WHITE + "x" + WHITE + "y" + WHITE,
    WHITE,
    "\u200b a\u180e ",
    "-]^\\a^-",
    "é\n",
    "\0 \0",
    "\ufeff a",
]


@pytest.mark.parametrize(
    "strips",
    [
        (),
        (Strip("both"),),
        (Strip("left"), Strip("right", "\n")),
        (Strip("both", "-]^\\"),),
        (Strip("right", "é\n"), Strip("both")),
        (Strip("both", ""),),
    ],
)
def test_fields_are_stripped_as_python_does(strips: tuple[Strip, ...]) -> None:
    field = Field("user", strips)
    texts = [*TEXTS, *(character + "a" + character for character in WHITE)]
    found = stripped(field, tf.constant([text.encode() for text in texts])).numpy()
    assert [text.decode() for text in found] == [field.of(text) for text in texts]


def test_literals_and_fields_alternate() -> None:
    user, system = Field("user", (Strip("both"),)), Field("system")
    one, two = Prompt((user, system, "end")), Prompt(("a", user), needed=(user,))
    texts = {"user": tf.constant([" x ", " "]), "system": tf.constant(["s", ""])}
    rows = prompt_parts(one, texts).numpy().tolist()
    assert rows == [[b"", b"x", b"", b"s", b"end"], [b"", b"", b"", b"", b"end"]]
    mixed = chosen(tf.constant([False, True]), prompt_parts(one, texts), prompt_parts(two, texts))
    assert mixed.numpy().tolist() == [[b"a", b"x", b"", b"", b""], rows[1]]
    assert missing(two, texts)["user"].numpy().tolist() == [False, True]
    assert missing(one, texts) == {}


#: (what was written, what was thought, the answer)
THOUGHTS = [
    ("<think>\n2 + 2\n</think>\n\n4\n", "2 + 2", "4\n"),
    (" <think>a</think> b</think>", "a", " b</think>"),
    ("<think>\nnever\nended\n", "never\nended", ""),
    ("4 <think>x</think>", "", "4 <think>x</think>"),
    ("", "", ""),
]
OPENED = [
    ("2 + 2\n</think>\n\n4", "2 + 2", "4"),
    ("<think>2</think>4", "2", "4"),
    ("never\nended", "never\nended", ""),
    ("\n</think>a", "", "a"),
]


@pytest.mark.parametrize(("opened", "cases"), [(False, THOUGHTS), (True, OPENED)])
def test_thinking_is_told_from_the_answer(opened: bool, cases: list[tuple[str, str, str]]) -> None:
    markers = Reasoning("<think>", "</think>", opened=opened)
    thought, answer = split_thinking(tf.constant([[text] for text, _, _ in cases]), markers)
    pairs = zip(thought.numpy()[:, 0], answer.numpy()[:, 0], strict=True)
    assert [(one.decode(), other.decode()) for one, other in pairs] == [case[1:] for case in cases]
