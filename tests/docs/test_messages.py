"""Messages that docs/troubleshooting.md explains are messages that something here says."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache

import pytest

from tests.conftest import ROOT

#: What other programs say: OpenSSL, nginx, TensorFlow Serving, the kernel.
OTHERS = {
    'unknown directive "js_import"',
    "Request to assign label to version N ... not currently available",
    "Address already in use",
}
#: What differs from one message to the next: three dots, a word in capitals, a file's name.
_PART = re.compile(r"\.\.\.|\b[A-Z][A-Z/]*\b|[\w/]+\.(?:json|safetensors|yaml)\b")
#: Fewer characters are no words to look for.
_LEAST = 8


def _messages() -> Iterator[str]:
    """Texts in code of the tables' first cells; a word alone is an output, a flag or a status."""
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    for heading in ("At export", "At the server"):
        part = page.split(f"\n## {heading}\n")[1].split("\n## ")[0]
        for cell in re.findall(r"(?m)^\| (?!message|symptom|---)(.*?) \| ", part):
            for message in re.findall(r"`([^`]+)`", cell):
                if " " in message and not message.startswith("--"):
                    yield message


def _words(message: str) -> list[str]:
    """What is the same in every such message."""
    return [words for words in _PART.split(message.removeprefix("note: ")) if len(words) >= _LEAST]


def _text(node: ast.AST) -> str:
    """A text of the source; what an f-string fills in is ``{}``."""
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


@cache
def _texts() -> str:
    """All texts of the Python sources, and the templates of what a server runs, a line each."""
    lines = []
    for root in (ROOT / "exporter", ROOT / "serving_configs"):
        for path in root.rglob("*.py"):
            nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
            docstrings = {node.value for node in nodes if isinstance(node, ast.Expr)}
            lines += [
                " ".join(text.split()) for node in nodes if node not in docstrings and (text := _text(node))
            ]
        lines += [path.read_text(encoding="utf-8") for path in root.rglob("*.j2")]
    return "\n".join(lines)


def _is_said(words: str, texts: str) -> bool:
    """By one text; or by one that lets another follow: ``{}`` is " is {}" and "a web page"."""
    words = words.strip()
    if words in texts:
        return True
    return any(
        f"{words[:cut]} {{}}" in texts and re.search("^" + re.escape(words[cut + 1 :]), texts, re.MULTILINE)
        for cut in (space.start() for space in re.finditer(" ", words))
    )


def test_messages_have_words_to_look_for() -> None:
    found = list(_messages())
    assert len(found) > 40
    assert set(found) > OTHERS
    assert [message for message in found if not _words(message)] == [
        "KEY=VALUE (generation_config.json): ...",
        "tokenizer.json: PATH: ...",
        "tokenizer_config.json: KEY: ...",
    ]


@pytest.mark.parametrize("message", [message for message in _messages() if message not in OTHERS])
def test_what_is_explained_is_said(message: str) -> None:
    for words in _words(message):
        assert _is_said(words, _texts()), words


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("version has two heads", False),
        ("is a Git LFS pointer", True),
        ("is a Git LFS pointing dog", False),
        ("of a Git LFS pointer", False),
    ],
)
def test_words_are_looked_for(words: str, said: bool) -> None:
    texts = "{} is {}\na Git LFS pointer, the address of the file\n{} has two {}"
    assert _is_said(words, texts) is said
