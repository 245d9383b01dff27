"""``genserve generate --openai``: the command line against a gateway."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from exporter.cli import app
from exporter.client import RequestError
from exporter.errors import GenserveError, OptionError
from tests.client.stubs import HttpStub
from tests.gateway.conftest import Running


def generate(url: str, *arguments: str, model: str = "toy") -> Any:
    result = CliRunner().invoke(app, ["generate", "--openai", url, "--model", model, *arguments])
    if isinstance(result.exception, GenserveError):
        raise result.exception
    return result


def test_completions_are_printed(running: Running) -> None:
    running.fake.__init__()  # type: ignore[misc]
    for url in (running.url, running.url + "/v1", running.url + "/v1/"):
        assert generate(url, "--prompt", "abc", "--prompt", "de", "-o", "seed=4").stdout == "cba\ned\n"
    assert running.fake.generations[0]["seed"] == 4
    answer = json.loads(generate(running.url, "--prompt", "ab", "-o", "n=2", "--json").stdout)
    assert (answer["texts"], answer["finish_reasons"]) == (["ba", "ba"], ["stop", "stop"])
    assert answer["extra"]["usage"]["completion_tokens"] == 6


def test_what_is_refused(running: Running, stub: HttpStub) -> None:
    result = generate(running.url, "--prompt", "ab", "-o", "top_p=7")
    assert result.exit_code == 7
    assert "top_p: input should be less than or equal to 1, got 7" in result.stderr
    with pytest.raises(RequestError, match="'other' does not exist"):
        generate(running.url, "--prompt", "ab", model="other")
    for arguments, words in (
        (["--url", "http://x"], "--openai or --url"),
        (["-o", "stream=true"], "'stream' is set here"),
        (["--signature", "s"], "--openai or --signature"),
    ):
        with pytest.raises(OptionError, match=words):
            generate(running.url, "--prompt", "a", *arguments)
    stub.answer = (200, b"<html>")
    with pytest.raises(RequestError, match="another form: '<html>'"):
        generate(stub.url, "--prompt", "a")
