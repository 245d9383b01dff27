"""The ids of ``chat`` are those of ``apply_chat_template``, for published and hand-written templates.

For texts without control tokens; of hostile ones, the control tokens are the template's alone.
"""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tensorflow as tf
from transformers import PreTrainedTokenizerFast

from exporter.errors import OptionError
from exporter.options import make_options
from exporter.prompts.chat import Chat, resolve_chat
from exporter.saved_model.chat_signatures import chat_rows
from exporter.saved_model.signatures import Policy
from exporter.tokenizer import TokenizerGraph, build_tokenizer
from exporter.tokenizer.sources import read_source
from tests.chat.conversations import HOSTILE, texts
from tests.chat.templates import PUBLISHED, STYLES, TOKENS, published
from tests.reference import byte_level_bpe
from tests.tokenizer.published import folder_of
from tests.tokenizer.support import texts as sample_texts

_CONTROL = re.compile(r"<\|[a-z_▁]+\|>|<｜[^｜<>]+｜>|<[a-z_/]+>|\[/?[A-Z_]+\]")
#: In the quick tier: thinking and strips; tokens that an own text could end.
QUICK = ("Qwen3", "Mistral")
DATE = {"strftime_now": "2025-01-31"}


def _of_style(name: str, directory: Path) -> Any:
    """A tokenizer whose control tokens are those of the style, thinking's not special."""
    tokenizer = byte_level_bpe()
    found = sorted({*_CONTROL.findall(STYLES[name]), *TOKENS.values()})
    tokenizer.add_tokens([token for token in found if "think" in token])
    tokenizer.add_special_tokens([token for token in found if "think" not in token])
    theirs = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **TOKENS)
    theirs.chat_template = STYLES[name]
    theirs.save_pretrained(directory)
    return theirs


def _chat(path: Path, variables: dict[str, Any], **more: Any) -> Chat:
    options = make_options({"model": "m", "chat": "on", "chat_variables": variables, **more})
    spec: Any = SimpleNamespace(kind="decoder_only")
    chat, _ = resolve_chat(options, path, spec, read_source(path))
    assert chat is not None
    return chat


def _ids(chat: Chat, tokenizer: TokenizerGraph, *texts: list[str]) -> list[Any]:
    """Ids of every row of the chat's fields, without what is baked; its error where it has one."""
    run = tf.function(lambda given: chat_rows(tokenizer, chat, given, 10_000, Policy(10_000)))
    columns = [tf.constant([text.encode() for text in column]) for column in texts]
    rows = run(dict(zip(chat.fields, columns, strict=True)))
    errors = [error.decode() for error in rows.error.numpy()]
    return [error or ids for error, ids in zip(errors, rows.tokens.to_list(), strict=True)]


def _expected(theirs: Any, user: str, system: str, variables: dict[str, Any]) -> list[int]:
    messages = [{"role": "user", "content": user}]
    if system:
        messages = [{"role": "system", "content": system}, *messages]
    ids: list[int] = theirs.apply_chat_template(
        messages, add_generation_prompt=True, return_dict=False, **variables
    )
    return ids


def _names(*names: str) -> list[Any]:
    return [
        name if name in QUICK else pytest.param(name, marks=pytest.mark.full)
        for name in names
        if name != "working"
    ]


@pytest.mark.parametrize("name", _names(*STYLES, *PUBLISHED))
def test_ids_are_those_of_the_reference(name: str, tmp_path: Path, full: bool) -> None:
    path = tmp_path if name in STYLES else folder_of(name)
    theirs = _of_style(name, path) if name in STYLES else published(name)
    source = theirs.chat_template
    dated = "strftime_now" in source
    chat, tokenizer = _chat(path, DATE if dated else {}), build_tokenizer(path)
    first = {content[0] for content in theirs.get_added_vocab()} - set(" \n")
    drawn = ["".join(c for c in text if c not in first) for text in sample_texts(full, seed=2)]
    drawn = drawn[: 600 if full else 160]
    user, system = [*drawn[::2], "", "a", " b\n"], [*drawn[1::2], "", " ", ""]
    if chat.parts.with_system is None:
        system = [""] * len(user)
    found, wrong = _ids(chat, tokenizer, user, system), 0
    for one, other, ids in zip(user, system, found, strict=True):
        if isinstance(ids, str):
            wrong += 1
            assert not one.strip() or not other.strip(), ids
            continue
        # The moment of the reference is now: its own words are rendered by us (tests/chat).
        if dated:
            messages = [{"role": "user", "content": one}]
            messages = [{"role": "system", "content": other}, *messages] if other else messages
            prompt = chat.template.render(messages)
            expected = theirs(prompt, add_special_tokens=False)["input_ids"]
        else:
            expected = _expected(theirs, one, other, {})
        assert ids == expected, (one, other)
    assert wrong < len(user) / 4


@pytest.mark.parametrize("system", ["", "You are kind: one, two.\n Answer in 12 words "])
@pytest.mark.parametrize("name", _names(*STYLES, *PUBLISHED))
def test_ids_behind_a_fixed_system_text_are_those_of_the_reference(
    name: str, system: str, tmp_path: Path, full: bool
) -> None:
    path = tmp_path if name in STYLES else folder_of(name)
    theirs = _of_style(name, path) if name in STYLES else published(name)
    dated = "strftime_now" in theirs.chat_template
    variables = DATE if dated else {}
    if system and _chat(path, variables).parts.with_system is None:
        with pytest.raises(OptionError, match="chat_system: system: "):
            _chat(path, variables, chat_system=system)
        return
    chat, tokenizer = _chat(path, variables, chat_system=system), build_tokenizer(path)
    prefix = chat.prefix
    assert prefix is not None
    first = {content[0] for content in theirs.get_added_vocab()} - set(" \n")
    drawn = ["".join(c for c in text if c not in first) for text in sample_texts(full, seed=6)]
    user = ["a", "ness", "\u0301", " 1", *drawn[: 300 if full else 60]]
    found = _ids(chat, tokenizer, user)
    for text, ids in zip(user, found, strict=True):
        if isinstance(ids, str):
            assert not text.strip(), ids
            continue
        messages = [{"role": "user", "content": text}]
        messages = [{"role": "system", "content": system}, *messages] if system else messages
        prompt = chat.template.render(messages)
        if not dated:
            assert prompt == theirs.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        whole = theirs(prompt, add_special_tokens=False)["input_ids"]
        assert [*prefix.tokens, *ids] == whole, text
    assert prefix.tokens


@pytest.mark.parametrize("name", _names(*STYLES))
def test_hostile_texts_bring_no_control_token(name: str, tmp_path: Path) -> None:
    theirs = _of_style(name, tmp_path)
    chat, tokenizer = (
        _chat(tmp_path, DATE if "strftime_now" in STYLES[name] else {}),
        build_tokenizer(tmp_path),
    )
    control = set(theirs.get_added_vocab().values())
    hostile = [text for text in [*HOSTILE, *texts(60, seed=9)] if text.strip()]
    system = [""] * len(hostile) if chat.parts.with_system is None else hostile[::-1]
    plain = "x" if chat.parts.with_system else ""
    (expected,) = _ids(chat, tokenizer, ["x"], [plain])
    for text, ids in zip(hostile, _ids(chat, tokenizer, hostile, system), strict=True):
        assert not isinstance(ids, str), (text, ids)
        assert [i for i in ids if i in control] == [i for i in expected if i in control], text
