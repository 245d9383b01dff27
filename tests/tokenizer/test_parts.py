"""Parts of prompts: a template's tokens are tokens, the same words in people's texts are words.

The oracle for texts without such words is the library on the whole text; for hostile texts it is the library
on what stands between the template's tokens, with special tokens in it taken for plain text.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
import tokenizers

from exporter.errors import TokenizerUnsupportedError
from exporter.tokenizer import TokenizerGraph, build_tokenizer
from tests.tokenizer.published import folder_of
from tests.tokenizer.support import texts as sample_texts

#: The words of a template around a system's and a user's text, in each family's style.
STYLES = {
    "qwen3": (
        "<|im_start|>system\n",
        "<|im_end|>\n<|im_start|>user\n",
        "<|im_end|>\n<think>\n\n</think>\n\n",
    ),
    "qwen2": (
        "<|im_start|>system\n",
        "<|im_end|>\n<|im_start|>user\n",
        "<|im_end|>\n<|im_start|>assistant\n",
    ),
    "gpt-oss": (
        "<|start|>system<|message|>",
        "<|end|><|start|>user<|message|>",
        "<|end|><|start|>assistant<|channel|>final<|message|>",
    ),
    "phi-3-mini": ("<|system|>\n", "<|end|>\n<|user|>\n", "<|end|>\n<|assistant|>\n"),
    "mistral-7b-v0.1": ("<s> [INST] <<SYS>>\n", "\n<</SYS>>\n\n", " [/INST]"),
    "mistral-7b-v0.3-instruct": ("<s>[INST] ", "\n\n", "[/INST]"),
    "mistral-nemo": ("<s>[INST]", "\n\n", "[/INST]"),
    "gpt-neox-20b": ("<|endoftext|>    System: ", "\n  User: ", "<|endoftext|>\nAssistant:"),
    "gpt2": ("<|endoftext|>System: ", "\n", "<|endoftext|>"),
    "roberta-base": ("<s>System: ", "<mask>", "</s>"),
}
#: Those whose pieces of text do not depend on what stands before them.
BY_PIECE = ("qwen3", "qwen2", "gpt-oss", "mistral-nemo", "gpt2")
#: One of each pipeline in the quick tier.
QUICK = ("phi-3-mini", "gpt2")
NAMES = [name if name in QUICK else pytest.param(name, marks=pytest.mark.full) for name in STYLES]
TRUSTED = (True, False, True, False, True)
#: Added tokens that are not special, and that a template has.
GUARDED = {"qwen3": ("<think>", "</think>", "<tool_call>"), "phi-3-mini": ("</s>",)}


def _parts(name: str, texts: list[str]) -> list[list[str]]:
    one, two, three = STYLES[name]
    return [[one, system, two, user, three] for system, user in zip(texts[::2], texts[1::2], strict=True)]


def _encode(name: str, tokenizer: TokenizerGraph, rows: list[list[str]]) -> list[list[int]]:
    tensor = tf.constant([[part.encode() for part in row] for row in rows])
    encode = tf.function(lambda parts: tokenizer.encode_parts(parts, TRUSTED, GUARDED.get(name, ())))
    ids: list[list[int]] = encode(tensor).to_list()
    return ids


def _benign(library: Any, count: int) -> list[str]:
    """Texts without the first letters of any token but of white space."""
    first = {token.content[0] for token in library.get_added_tokens_decoder().values()} - set(" \n\t")
    return ["".join(c for c in text if c not in first) for text in sample_texts(False, seed=20)[:count]]


@pytest.mark.parity
@pytest.mark.parametrize("name", NAMES)
def test_texts_without_tokens_are_tokenized_as_the_rendered_text(
    name: str, test_data: Path, full: bool
) -> None:
    folder = folder_of(name)
    tokenizer = build_tokenizer(folder)
    library = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    texts = [*_benign(library, 1000 if full else 240), "", "", "", "  x", "x \n", "", " \n ", "\n\n"]
    rows = _parts(name, texts)
    expected = [library.encode("".join(row), add_special_tokens=False).ids for row in rows]
    assert _encode(name, tokenizer, rows) == expected


def _hostile(contents: list[str], count: int) -> list[str]:
    """Texts full of tokens, whole, cut in two, and beside each other's borders."""
    draw = random.Random(7)
    pieces = [*contents, *(c[: len(c) // 2] for c in contents), *(c[len(c) // 2 :] for c in contents)]
    words = [" ", "\n", "hello", "é", "<", "|", "[", "/", ">", "  "]
    return ["".join(draw.choices([*pieces, *words], k=draw.randint(1, 6))) for _ in range(count)]


@pytest.mark.parity
@pytest.mark.parametrize("name", NAMES)
def test_hostile_texts_have_no_tokens(name: str, test_data: Path, full: bool) -> None:
    folder = folder_of(name)
    tokenizer = build_tokenizer(folder)
    library = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    added = library.get_added_tokens_decoder()
    guarded = {i for i, token in added.items() if token.special or token.content in GUARDED.get(name, ())}
    contents = sorted({added[i].content for i in guarded})
    rows = _parts(name, _hostile(random.Random(1).sample(contents, min(40, len(contents))), 600))
    found = _encode(name, tokenizer, rows)
    for row, ids in zip(rows, found, strict=True):
        own = [i for part in row[::2] for i in library.encode(part, add_special_tokens=False).ids]
        assert [i for i in ids if i in guarded] == [i for i in own if i in guarded], row
    if name in BY_PIECE:
        plain = tokenizers.Tokenizer.from_str(library.to_str())
        plain.add_special_tokens(list(GUARDED.get(name, ())))
        plain.encode_special_tokens = True
        assert found == [_by_piece(library, plain, guarded, row) for row in rows]


def _by_piece(library: Any, plain: Any, guarded: set[int], row: list[str]) -> list[int]:
    """The template's tokens, found in its own parts, and ``plain``'s ids of the text between any two."""
    ids: list[int] = []
    text = ""
    for place, part in enumerate(row):
        if place % 2:
            text += part
            continue
        encoding, end = library.encode(part, add_special_tokens=False), 0
        for token, (start, stop) in zip(encoding.ids, encoding.offsets, strict=True):
            if token in guarded:
                ids += [*plain.encode(text + part[end:start], add_special_tokens=False).ids, token]
                text, end = "", stop
        text += part[end:]
    return ids + list(plain.encode(text, add_special_tokens=False).ids)


def test_the_parts_of_one_text_are_joined_before_they_are_tokenized(tmp_path: Path) -> None:
    """A word goes on across a border; a token that is no template's alone is found across it."""
    library = tokenizers.Tokenizer(tokenizers.models.WordLevel({"ab": 0, "a": 1, "?": 2}, unk_token="?"))
    library.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    library.add_special_tokens(["<s>"])
    library.add_tokens(["--"])
    library.save(str(tmp_path / "tokenizer.json"))
    tokenizer = build_tokenizer(tmp_path)
    rows = [["<s>a", "b", " -", "- <", "s>"], ["a", "<s>", "<s>", "a<s", ">"]]
    encode = tokenizer.encode_parts
    assert encode(tf.constant(rows), TRUSTED).to_list() == [[3, 0, 4, 2], [2, 3, 2]]
    library.add_special_tokens(["-->"])
    library.add_tokens([">-"])
    library.save(str(tmp_path / "tokenizer.json"))
    tokenizer = build_tokenizer(tmp_path)
    with pytest.raises(TokenizerUnsupportedError, match="overlap"):
        tokenizer.encode_parts(tf.constant(rows), TRUSTED)


def test_tokens_of_normalized_text_are_refused(tmp_path: Path) -> None:
    file = {
        "version": "1.0",
        "added_tokens": [
            {
                **dict.fromkeys(("single_word", "lstrip", "rstrip"), False),
                "id": 1,
                "content": "<S>",
                "special": True,
                "normalized": True,
            }
        ],
        "normalizer": {"type": "Lowercase"},
        "model": {"type": "WordLevel", "vocab": {"a": 0, "<S>": 1}, "unk_token": "a"},
    }
    (tmp_path / "tokenizer.json").write_text(json.dumps(file))
    with pytest.raises(TokenizerUnsupportedError, match="'<S>' is looked for in normalized text"):
        build_tokenizer(tmp_path).encode_parts(tf.constant([["<S>", "a"]]), (True, False))
