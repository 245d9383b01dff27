"""Streams: pieces that make the whole answer, whatever ends it."""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import openai
import pytest

from exporter.gateway.app import Gateway
from exporter.gateway.models import Models
from exporter.gateway.running import beside
from exporter.gateway.settings import Settings
from tests.client.stubs import HttpStub
from tests.gateway.conftest import Running, until
from tests.gateway.fake import manifest

USER: list[Any] = [{"role": "user", "content": "hi"}]
LONG = "Grüße, 世界! 👋🏽 and so on, END of it. " * 3


@pytest.fixture
def client(running: Running) -> Iterator[openai.OpenAI]:
    running.fake.__init__(lambda *_: LONG)  # type: ignore[misc]
    with running.client() as client:
        yield client


@pytest.mark.parametrize("model", ["toy", "whole"])
@pytest.mark.parametrize("options", [{}, {"stop": "END"}, {"stop": [" of it. G", "nope"]}, {"max_tokens": 7}])
def test_pieces_make_the_whole_answer(client: openai.OpenAI, model: str, options: dict[str, Any]) -> None:
    asked: dict[str, Any] = {"model": model, "messages": USER, **options}
    whole = client.chat.completions.create(**asked)
    chunks = list(
        client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True})
    )
    texts = [choice.delta.content or "" for chunk in chunks for choice in chunk.choices]
    assert "".join(texts) == whole.choices[0].message.content
    reasons = [choice.finish_reason for chunk in chunks for choice in chunk.choices if choice.finish_reason]
    assert reasons == [whole.choices[0].finish_reason]
    assert chunks[-1].choices == []
    assert chunks[-1].usage == whole.usage
    assert len({chunk.id for chunk in chunks}) == 1


def test_first_pieces_are_small(running: Running, client: openai.OpenAI) -> None:
    answer = client.completions.with_raw_response.create(model="toy", prompt="a", max_tokens=60, stream=True)
    assert answer.headers["x-genserve-stream"] == "pieces"
    list(answer.parse())
    assert [row["piece_tokens"] for row in running.fake.generations] == [4, 8, 16, 32]
    assert [row["num_generated"] for row in running.fake.generations] == [0, 4, 12, 28]
    assert len({row["seed"] for row in running.fake.generations}) == 1
    other = client.completions.with_raw_response.create(model="whole", prompt="a", stream=True)
    assert other.headers["x-genserve-stream"] == "whole"


def test_logprobs_and_several_answers(running: Running, client: openai.OpenAI) -> None:
    running.fake.reply = lambda _, seed: f"answer {seed} of several"
    asked: dict[str, Any] = {
        "model": "toy",
        "prompt": "a",
        "n": 3,
        "seed": 4,
        "logprobs": 1,
        "max_tokens": 50,
    }
    whole = client.completions.create(**asked)
    chunks = [choice for chunk in client.completions.create(**asked, stream=True) for choice in chunk.choices]
    for choice in whole.choices:
        mine = [chunk for chunk in chunks if chunk.index == choice.index]
        assert "".join(chunk.text for chunk in mine) == choice.text
        assert choice.logprobs is not None
        found = [chunk.logprobs for chunk in mine if chunk.logprobs is not None]
        assert [token for one in found for token in one.tokens or ()] == choice.logprobs.tokens
        assert [at for one in found for at in one.text_offset or ()] == choice.logprobs.text_offset


@pytest.mark.parametrize(
    "options",
    [{"stop": "END"}, {"stop": ["lon", "nope"]}, {"stop": "er with the E"}, {"stop": "q", "max_tokens": 9}],
)
def test_a_streams_logprobs_leave_a_stop_string_out(
    running: Running, client: openai.OpenAI, options: dict[str, Any]
) -> None:
    running.fake.reply = lambda *_: "an answer with the END of it, and a longer rest"
    asked: dict[str, Any] = {"model": "toy", "prompt": "a", "logprobs": 1, "max_tokens": 60, **options}
    whole = client.completions.create(**asked).choices[0]
    assert whole.logprobs is not None
    pieces = [chunk.choices[0] for chunk in client.completions.create(**asked, stream=True)]
    tokens = [token for one in pieces if one.logprobs for token in one.logprobs.tokens or ()]
    assert tokens == whole.logprobs.tokens
    assert "".join(tokens) == "".join(one.text for one in pieces) == whole.text
    del asked["prompt"], asked["logprobs"]
    chat: dict[str, Any] = {**asked, "messages": USER, "logprobs": True}
    deltas = [chunk.choices[0] for chunk in client.chat.completions.create(**chat, stream=True)]
    items = [item for one in deltas if one.logprobs for item in one.logprobs.content or ()]
    assert "".join(item.token for item in items) == whole.text


def test_tool_calls_come_whole(running: Running, client: openai.OpenAI) -> None:
    calls = [json.dumps({"name": "add", "arguments": {"a": number}}) for number in (1, 2)]
    running.fake.reply = lambda *_: "Well: " + "\n".join(f"<tool_call>{call}</tool_call>" for call in calls)
    tool: Any = {"type": "function", "function": {"name": "add", "parameters": {}}}
    chunks = list(client.chat.completions.create(model="toy", messages=USER, tools=[tool], stream=True))
    deltas = [chunk.choices[0].delta for chunk in chunks]
    assert "".join(delta.content or "" for delta in deltas) == "Well: "
    made = [call for delta in deltas for call in delta.tool_calls or ()]
    assert [(call.index, call.function.arguments) for call in made if call.function] == [
        (0, '{"a": 1}'),
        (1, '{"a": 2}'),
    ]
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


def test_a_server_that_dies_in_a_stream(running: Running, client: openai.OpenAI) -> None:
    running.fake.lasts = 2
    stream = client.completions.create(model="toy", prompt="a", max_tokens=99, stream=True)
    got: list[str] = []
    with pytest.raises(openai.APIError, match="the model server is not available"):
        got.extend(chunk.choices[0].text for chunk in stream)
    assert "".join(got)
    assert LONG.startswith("".join(got))


def test_a_fault_in_a_stream_is_an_event_and_in_the_log(
    running: Running, client: openai.OpenAI, caplog: pytest.LogCaptureFixture
) -> None:
    running.fake.failures = [ValueError("a secret of the gateway")]  # type: ignore[list-item]
    with caplog.at_level("INFO", "genserve.gateway"):
        body = {"model": "toy", "messages": USER, "stream": True}
        answer = httpx.post(running.url + "/v1/chat/completions", json=body)
        until(lambda: any(record.message == "answered" for record in caplog.records))
    event, end = answer.text.split("\n\n")[-2:]
    assert end == ""
    error = json.loads(event.removeprefix("data: "))["error"]
    assert (error["code"], error["type"]) == ("internal_error", "server_error")
    assert "secret" not in answer.text
    first, last = [record for record in caplog.records if record.name == "genserve.gateway"]
    assert first.exc_info is not None
    assert str(first.exc_info[1]) == "a secret of the gateway"
    assert last.fields["status"] == 500  # type: ignore[attr-defined]
    assert last.fields["request_id"] == first.fields["request_id"]  # type: ignore[attr-defined]


def test_another_server_goes_on_with_a_stream() -> None:
    """The first of two servers is gone after two pieces: the second one gets what was generated so far."""
    texts = [bytes([letter]) for letter in b"an answer of more than two pieces"]
    first, second = HttpStub(), HttpStub()

    def reply(lasts: int) -> Callable[[str, bytes], tuple[int, bytes]]:
        count = itertools.count()

        def one(_: str, body: bytes) -> tuple[int, bytes]:
            inputs = json.loads(body)["inputs"]
            if "segments" in inputs or "text" in inputs:
                return 200, json.dumps({"outputs": {"input_ids": [[97]], "num_tokens": [1]}}).encode()
            if next(count) >= lasts:
                return 503, b'{"error": "gone"}'
            done = inputs["num_generated"][0]
            assert bytes(inputs["generated_ids"][0][:done]) == b"".join(texts[:done])
            new = texts[done : done + inputs["piece_tokens"][0]]
            last = done + len(new) == len(texts)
            outputs = {
                "generated_ids": [[text[0] for text in new]],
                "generated_text": [b"".join(new).decode()],
                "num_tokens": [len(new)],
                "finish_reason": ["stop" if last else ""],
                "error": [""],
            }
            return 200, json.dumps({"outputs": outputs}).encode()

        return one

    first.answer, second.answer = reply(2), reply(99)
    try:
        gateway = Gateway(Models.open([manifest()], [first.url, second.url]), Settings())
        with beside(gateway, host="127.0.0.1", port=0) as url:
            own = openai.OpenAI(base_url=url + "/v1", api_key="x", max_retries=0)
            asked: dict[str, Any] = {"model": "toy", "prompt": "a", "max_tokens": 60}
            pieces = [chunk.choices[0].text for chunk in own.completions.create(**asked, stream=True)]
        assert "".join(pieces).encode() == b"".join(texts)
        assert len(pieces) == 4  # of 4, 8, 16 and 5 tokens
        assert any(b"num_generated" in request[3] for request in second.requests)
        assert any(b"num_generated" in request[3] for request in first.requests)
    finally:
        first.stop()
        second.stop()


def test_a_refusal_before_the_first_piece_has_its_status(running: Running, client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="token id 9999"):
        client.completions.create(model="toy", prompt=[9999], stream=True)


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_cancels_its_call(running: Running, client: openai.OpenAI, stream: bool) -> None:
    running.fake.held_after = 1 if stream else 0
    body = {"model": "toy", "prompt": "a", "max_tokens": 99, "stream": stream}
    content = json.dumps(body).encode()
    host, port = running.url.removeprefix("http://").split(":")
    head = f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(content)}\r\n\r\n"
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(head.encode() + content)
        until(lambda: running.fake.at_once == 1)
        assert running.gateway.admission.inside == 1
    until(lambda: running.fake.cancelled == 1)
    until(lambda: running.gateway.admission.inside == 0)


def test_32_streams_at_once(running: Running, client: openai.OpenAI) -> None:
    running.fake.reply = lambda text, _: f"echo of {text} " * 4

    async def one(client: openai.AsyncOpenAI, number: int) -> str:
        stream = await client.completions.create(
            model="toy", prompt=f"call {number}", max_tokens=150, stream=True
        )
        return "".join([chunk.choices[0].text async for chunk in stream])

    async def every() -> list[str]:
        async with openai.AsyncOpenAI(base_url=running.url + "/v1", api_key="x", max_retries=0) as client:
            return await asyncio.gather(*(one(client, number) for number in range(32)))

    assert asyncio.run(every()) == [f"echo of call {number} " * 4 for number in range(32)]


def test_events_end_with_done(running: Running, client: openai.OpenAI) -> None:
    body = {"model": "toy", "prompt": "a", "max_tokens": 3, "stream": True}
    answer = httpx.post(running.url + "/v1/completions", json=body)
    assert answer.headers["content-type"].startswith("text/event-stream")
    *events, done, end = answer.text.split("\n\n")
    assert (done, end) == ("data: [DONE]", "")
    assert all(json.loads(event.removeprefix("data: "))["object"] == "text_completion" for event in events)
