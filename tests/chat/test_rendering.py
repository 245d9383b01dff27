"""Chat templates give what ``apply_chat_template`` of transformers gives, or refuse where it does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from exporter.chat import ChatTemplate, read_chat_template
from exporter.errors import CheckpointError, GenserveError, OptionError, UnsupportedError
from tests.chat.conversations import TOOLS, WITH_TOOLS, conversations
from tests.chat.templates import CHATML, HARMONY, LLAMA_3, PUBLISHED, STYLES, TOKENS, published
from tests.tokenizer.published import folder_of

DATE = {"date_string": "31 Jan 2025"}


@pytest.fixture(scope="module")
def reference() -> PreTrainedTokenizerFast:
    """A tokenizer with the special tokens of ``TOKENS``; its template is set by each test."""
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel({}, "<unk>")), **TOKENS)


def rendered(
    tokenizer: Any, template: ChatTemplate, messages: list[dict[str, Any]], **options: Any
) -> tuple[str, str] | None:
    """(transformers', ours); None where both refuse. Options are the template's variables."""
    options = {"add_generation_prompt": True, **options}
    try:
        theirs = tokenizer.apply_chat_template(messages, tokenize=False, **options)
    except Exception:
        with pytest.raises(GenserveError):
            template.render(messages, **options)
        return None
    return theirs, template.render(messages, **options)


@pytest.mark.parametrize("style", STYLES)
def test_styles(reference: PreTrainedTokenizerFast, style: str) -> None:
    reference.chat_template = STYLES[style]
    template = ChatTemplate(STYLES[style], variables=TOKENS)
    pairs = [
        rendered(reference, template, messages, add_generation_prompt=bool(number % 3), date_string="today")
        for number, messages in enumerate(conversations(50))
    ]
    assert all(pair is None or pair[0] == pair[1] for pair in pairs)
    assert sum(pair is not None for pair in pairs) > 20


@pytest.mark.parametrize("folder", PUBLISHED)
def test_published(folder: str) -> None:
    directory = folder_of(folder)
    template, tokenizer = read_chat_template(directory), published(folder)
    assert template is not None
    pairs = [
        rendered(tokenizer, template, messages, add_generation_prompt=bool(number % 3), **DATE)
        for number, messages in enumerate(conversations(40, seed=1))
    ]
    pairs.append(rendered(tokenizer, template, WITH_TOOLS, tools=TOOLS, **DATE))
    assert all(pair is None or pair[0] == pair[1] for pair in pairs)
    assert sum(pair is not None for pair in pairs) > 10


@pytest.mark.parametrize("style", ["Llama 3", "Qwen3", "harmony"])
def test_tools_and_reasoning(reference: PreTrainedTokenizerFast, style: str) -> None:
    reference.chat_template = STYLES[style]
    template = ChatTemplate(STYLES[style], variables=TOKENS)
    for messages in (WITH_TOOLS, WITH_TOOLS[:2]):
        for variables in ({}, {"enable_thinking": False, "reasoning_effort": "high"}):
            pair = rendered(reference, template, messages, tools=TOOLS, **DATE, **variables)
            assert pair is not None
            assert pair[0] == pair[1]


def test_moment_is_stated_or_now() -> None:
    messages = [{"role": "user", "content": "?"}]
    stated = ChatTemplate(HARMONY, variables={"strftime_now": "1999-12-31"})
    assert "Current date: 1999-12-31\n" in stated.render(messages)
    assert "Current date: 2001-02-03\n" in stated.render(messages, strftime_now="2001-02-03T04:05:06")
    assert "Current date: 20" in ChatTemplate(HARMONY).render(messages)
    with pytest.raises(OptionError, match=r"strftime_now: 'tomorrow' must be a date or a moment in ISO 8601"):
        ChatTemplate(HARMONY, variables={"strftime_now": "tomorrow"})
    with pytest.raises(OptionError, match="strftime_now"):
        stated.render(messages, strftime_now=7)


def test_variables_of_a_call_come_first() -> None:
    template = ChatTemplate(LLAMA_3, variables={"date_string": "A", "bos_token": "<s>"})
    messages = [{"role": "user", "content": "?"}]
    assert "Today: A\n" in template.render(messages)
    assert "Today: B\n" in template.render(messages, date_string="B")


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([], r"messages: a list of at least one message is needed, got \[\]"),
        ("hello", "messages: a list of at least one message is needed, got 'hello'"),
        (["hello"], r"messages\[0\]: must be an object such as .* got 'hello'"),
        ([{"role": "user", "content": b"x"}], r"messages\[0\].content: bytes is none of JSON's kinds"),
        ([{"role": "user", "content": "\ud800"}], r"messages\[0\].content: no Unicode text: surrogates"),
    ],
)
def test_messages_of_another_kind(messages: Any, expected: str) -> None:
    for call in (ChatTemplate(CHATML).render, ChatTemplate(CHATML).segments):
        with pytest.raises(OptionError, match=expected):
            call(messages)


def test_what_a_template_refuses_is_said_in_its_words() -> None:
    with pytest.raises(UnsupportedError, match="refuses these messages: System role not supported"):
        ChatTemplate(STYLES["Gemma"]).render([{"role": "system", "content": "?"}])
    with pytest.raises(UnsupportedError, match="fails on these messages: ZeroDivisionError"):
        ChatTemplate("{{ 1 // 0 }}").render([{"role": "user", "content": "?"}])
    with pytest.raises(CheckpointError, match="cannot be read: line 2: "):
        ChatTemplate("{{ bos_token }}\n{% if %}")


def test_the_sandbox_holds() -> None:
    messages = [{"role": "user", "content": "x"}]
    for source in (
        "{{ messages.append(1) }}",
        "{{ ''.__class__.__mro__ }}{{ messages.__class__.__mro__ }}",
        "{{ messages[0].content.join.__func__.__globals__ }}",
        "{{ namespace(_x=1) }}",
    ):
        for call in (ChatTemplate(source).render, ChatTemplate(source).segments):
            try:
                text = "".join(call(messages))
            except UnsupportedError:
                continue
            assert text == ""


def write(directory: Path, config: dict[str, Any], files: dict[str, str] | None = None) -> Path:
    (directory / "tokenizer_config.json").write_text(json.dumps(config))
    for name, text in (files or {}).items():
        (directory / name).parent.mkdir(exist_ok=True)
        (directory / name).write_text(text)
    return directory


MANY = [{"name": "default", "template": "D"}, {"name": "tool_use", "template": "T{{ tools | length }}"}]


@pytest.mark.parametrize(
    ("config", "files", "expected"),
    [
        ({"chat_template": "one"}, {}, ("one", "one")),
        ({"chat_template": MANY}, {}, ("D", "T1")),
        ({"chat_template": MANY}, {"chat_template.jinja": "F"}, ("F", "F")),
        (
            {},
            {"chat_template.jinja": "F", "additional_chat_templates/tool_use.jinja": "G"},
            ("F", "G"),
        ),
        (
            {"bos_token": {"__type": "AddedToken", "content": "<s>"}, "chat_template": "{{ bos_token }}"},
            {},
            ("<s>", "<s>"),
        ),
        (
            {"bos_token": "<s>", "chat_template": "{{ bos_token }}{{ eos_token }}"},
            {"special_tokens_map.json": '{"bos_token": "<b>", "eos_token": {"content": "<e>"}}'},
            ("<b><e>", "<b><e>"),
        ),
        (
            {"bos_token": "<s>", "chat_template": "{{ bos_token }}", "added_tokens_decoder": {}},
            {"special_tokens_map.json": '{"bos_token": "<b>"}'},
            ("<s>", "<s>"),
        ),
    ],
)
def test_where_a_template_stands(
    tmp_path: Path, config: dict[str, Any], files: dict[str, str], expected: tuple[str, str]
) -> None:
    """As AutoTokenizer reads it, without and with tools."""
    write(tmp_path, config | {"tokenizer_class": "PreTrainedTokenizerFast"}, files)
    Tokenizer(models.WordLevel({"<unk>": 0}, "<unk>")).save(str(tmp_path / "tokenizer.json"))
    template, theirs = read_chat_template(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
    assert template is not None
    for tools, text in zip((None, TOOLS), expected, strict=True):
        messages = [{"role": "user", "content": "?"}]
        assert template.render(messages, tools=tools) == text
        assert theirs.apply_chat_template(messages, tools=tools, tokenize=False) == text


def test_directories_without_one_or_with_a_broken_one(tmp_path: Path) -> None:
    assert read_chat_template(tmp_path) is None
    assert read_chat_template(write(tmp_path, {"bos_token": "<s>"})) is None
    for config, expected in (
        ({"chat_template": 3}, "chat_template=3 must be a text, or a list of objects"),
        ({"chat_template": [{"name": "rag", "template": "x"}]}, r"\(rag\) none is named 'default'"),
    ):
        with pytest.raises(CheckpointError, match=expected):
            read_chat_template(write(tmp_path, config))
    (tmp_path / "tokenizer_config.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"tokenizer_config\.json is no JSON"):
        read_chat_template(tmp_path)


def test_given_tokens_and_variables_come_first(tmp_path: Path) -> None:
    write(tmp_path, {"bos_token": "<s>", "chat_template": "{{ bos_token }}{{ mood }}"})
    template = read_chat_template(tmp_path, special_tokens={"bos_token": "<b>"}, mood="calm")
    assert template is not None
    assert template.render([{"role": "user", "content": "?"}]) == "<b>calm"
