"""The field ``signature``: the one that answers, where a request names it; presets and ``chat`` too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
import pytest

from exporter.gateway.served_model import ServedModel
from tests.gateway.conftest import Running
from tests.gateway.fake import FakeModel, encode, manifest

_ANSWER = {
    name: {"dtype": dtype, "shape": [None]}
    for name, dtype in (("generated_text", "string"), ("num_tokens", "int32"), ("finish_reason", "string"))
}
_TEXT = {"dtype": "string", "shape": [None]}


class WithPresets(FakeModel):
    """A preset ``short``, of text alone; ``chat``, which renders its own messages; ``score``, no answer."""

    def _short(self, row: Any) -> dict[str, Any]:
        return self._generate_tokens(self._row(row["text"]) | {"max_new_tokens": 2})

    def _chat(self, row: Any) -> dict[str, Any]:
        return self._generate_tokens(self._row(f"[{row['system']}|{row['user']}]"))

    def _row(self, text: str) -> dict[str, Any]:
        ids = encode(text)
        return {"input_ids": ids, "num_tokens": len(ids), "seed": 0, "max_new_tokens": 99}


@pytest.fixture(scope="module")
def presets() -> Iterator[Running]:
    running = Running()
    facts = manifest(name="presets").model_dump(mode="json")
    facts["signatures"] |= {
        "short": {"inputs": {"text": _TEXT}, "outputs": _ANSWER},
        "filled": {"inputs": {"product": _TEXT}, "outputs": _ANSWER},
        "chat": {"inputs": {"user": _TEXT, "system": _TEXT}, "outputs": _ANSWER},
        "score": {"inputs": {"text": _TEXT}, "outputs": {"scores": _TEXT}},
    }
    running.fake = WithPresets()
    running.models["presets"] = ServedModel(type(manifest()).model_validate(facts), running.fake)
    yield running
    running.stop()


@pytest.fixture
def client(presets: Running) -> Iterator[openai.OpenAI]:
    presets.fake.calls.clear()
    with presets.client() as client:
        yield client


def complete(client: openai.OpenAI, signature: str, **fields: Any) -> str:
    asked = {"model": "presets", "prompt": "abcd", "extra_body": {"signature": signature}, **fields}
    return client.completions.create(**asked).choices[0].text


def asked(presets: Running) -> str:
    return [name for name, _ in presets.fake.calls if not name.startswith(("encode", "decode"))][-1]


@pytest.mark.parametrize(
    ("signature", "answer"),
    [("short", "dc"), ("serving_default", "dcba"), ("generate_tokens", "dcba"), ("resume", "dcba")],
)
def test_completions(client: openai.OpenAI, presets: Running, signature: str, answer: str) -> None:
    assert complete(client, signature) == answer
    assert asked(presets) == signature
    body: Any = {"model": "presets", "prompt": "abcd", "extra_body": {"signature": signature}}
    pieces = client.completions.create(**body, stream=True)
    assert "".join(piece.choices[0].text for piece in pieces) == answer


def test_chats(client: openai.OpenAI, presets: Running) -> None:
    messages: list[Any] = [{"role": "system", "content": "ab"}, {"role": "user", "content": "cd"}]
    body: Any = {"model": "presets", "messages": messages, "extra_body": {"signature": "chat"}}
    answer = client.chat.completions.create(**body)
    assert answer.choices[0].message.content == "]dc|ba["
    assert asked(presets) == "chat"
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == len("<ab><cd><")
    with pytest.raises(openai.BadRequestError, match="takes one user message"):
        client.chat.completions.create(**body | {"messages": messages * 2})


@pytest.mark.parametrize(
    ("signature", "fields", "words"),
    [
        ("shrt", {}, "'shrt'.*did you mean 'short'.*may name serving_default, generate_tokens"),
        ("filled", {}, "this request may name"),
        ("score", {}, "this request may name"),
        ("chat", {}, "this request may name"),
        ("short", {"prompt": [1, 2]}, "may name generate_tokens, resume"),
        ("short", {"temperature": 0.5}, "takes no such option"),
        ("short", {"logprobs": 1}, "does not answer 1 alternatives"),
        ("resume", {"logprobs": 3}, "does not answer 3 alternatives"),
    ],
)
def test_what_is_refused(client: openai.OpenAI, signature: str, fields: dict[str, Any], words: str) -> None:
    with pytest.raises(openai.BadRequestError, match=words):
        complete(client, signature, **fields)
