"""``genserve chat --openai``: turns with a gateway, and what other servers may answer."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from exporter.cli import app
from exporter.errors import GenserveError, OptionError
from tests.client.stubs import HttpStub
from tests.gateway.conftest import Running


def chat(url: str, lines: str, *arguments: str, model: str = "toy") -> Any:
    result = CliRunner().invoke(app, ["chat", "--openai", url, "--model", model, *arguments], input=lines)
    if isinstance(result.exception, GenserveError):
        raise result.exception
    return result


def prompt(row: dict[str, Any]) -> bytes:
    return bytes(token for token in row["input_ids"][: row["num_tokens"]] if token < 256)


def test_turns_commands_and_options(running: Running, tmp_path: Path) -> None:
    running.fake.__init__(lambda *_: "A long answer: 世界")  # type: ignore[misc]
    file = tmp_path / "chat.json"
    lines = f"one\n/option temperature=0.5\n/option\ntwo\n/save {file}\n/system -\n/reset\nthree\n/history\n"
    result = chat(running.url + "/v1", lines, "--system", "be kind", "-o", "seed=4")
    assert result.exit_code == 0, result.stderr
    answer = "A long answer: 世界"
    history = f"user: three\nassistant: {answer}\n"
    assert result.stdout == f"{answer}\nseed=4\ntemperature=0.5\n{answer}\n{answer}\n{history}"
    rows = [row for row in running.fake.generations if row["num_generated"] == 0]
    said = answer.encode()
    assert [prompt(row) for row in rows] == [b"be kindone", b"be kindone" + said + b"two", b"three"]
    assert [(row["seed"], row["temperature"]) for row in rows] == [(4, 0.0), (4, 0.5), (4, 0.5)]
    assert len(running.fake.generations) > len(rows)  # it came in pieces
    saved = [message["role"] for message in json.loads(file.read_text())]
    assert saved == ["system", "user", "assistant", "user", "assistant"]


def test_a_failed_message_is_forgotten(running: Running) -> None:
    running.fake.__init__(lambda *_: "eno")  # type: ignore[misc]
    result = chat(running.url, "one\n/option top_p=7\ntwo\n/option top_p=1\nthree\n")
    assert result.exit_code == 7
    assert "top_p: input should be less than or equal to 1, got 7" in result.stderr
    assert prompt(running.fake.generations[-1]) == b"oneeno" + b"three"


def events(*choices: dict[str, Any]) -> bytes:
    return b"".join(f"data: {json.dumps({'choices': [choice]})}\n\n".encode() for choice in choices)


def test_what_other_servers_answer(stub: HttpStub) -> None:
    thought, said = {"delta": {"reasoning_content": "hm "}}, {"delta": {"content": "yes"}}
    last = {"delta": {}, "finish_reason": "stop"}
    stub.answer = (200, b": a comment\n\n" + events(thought, said, last) + b"data: [DONE]\n\n")
    result = chat(stub.url, "a\nb\n", "--token", "sk-1")
    assert result.stdout == "hm yes\nhm yes\n"
    assert stub.bodies[1]["messages"][1] == {"role": "assistant", "content": "yes"}
    assert stub.requests[0][1:3] == (
        "/v1/chat/completions",
        stub.requests[0][2] | {"Authorization": "Bearer sk-1"},
    )
    for answer, words in (
        ((200, events(said)), "the answer broke off"),
        ((200, events(said) + b'data: {"error": {"message": "gone"}}\n\n'), "the answer broke off: gone"),
        ((200, b"data: <html>\n\n"), "another form: '.*<html>'"),
        ((401, b'{"error": {"message": "no such key"}}'), "UNAUTHENTICATED .HTTP 401.: no such key"),
        ((404, b"<html>"), "another form: '<html>'"),
    ):
        stub.answer = answer
        result = chat(stub.url, "a\n", "--retries", "0")
        assert result.exit_code == 7
        assert re.search(words, result.stderr), result.stderr


def test_a_server_that_is_full_is_asked_again(stub: HttpStub) -> None:
    answers = [
        (503, b'{"error": {"message": "full"}}'),
        (200, events({"delta": {"content": "x"}, "finish_reason": "stop"})),
    ]
    stub.answer = lambda *_: answers.pop(0)
    assert chat(stub.url, "a\n").stdout == "x\n"


def test_what_is_refused() -> None:
    for arguments, words in (
        (["--openai", "http://x", "--model", "m", "--url", "http://y"], "--openai or --url"),
        (["out/m/1", "--openai", "http://x", "--model", "m"], "--openai or OUT"),
        (["--openai", "http://x"], "needs --model"),
        (["--openai", "grpc://x:1", "--model", "m"], "http:// or https://"),
        (["--openai", "http://x", "--model", "m", "-o", "n=2"], "'n' is no option"),
        (["--url", "http://x"], "OUT/NAME/VERSION, or --openai"),
    ):
        result = CliRunner().invoke(app, ["chat", *arguments], input="")
        assert isinstance(result.exception, OptionError)
        with pytest.raises(OptionError, match=words):
            raise result.exception
