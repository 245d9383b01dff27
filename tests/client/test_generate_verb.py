"""``genserve generate``: what it prints, sends and refuses."""

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


def generate(*arguments: str, stdin: str = "") -> Any:
    """The result; a GenserveError is raised, as ``main`` gets it."""
    result = CliRunner().invoke(app, ["generate", "--model", "m", *arguments], input=stdin)
    if isinstance(result.exception, GenserveError):
        raise result.exception
    return result


def answering(*rows: dict[str, Any]) -> Any:
    """Row after row, one per request."""
    left = iter(rows)
    return lambda path, body: (200, json.dumps({"outputs": {k: [v] for k, v in next(left).items()}}).encode())


def test_the_answer_alone_is_printed(stub: HttpStub) -> None:
    """Only the server knows whether the prompt is part of it (an export with --echo)."""
    stub.answer = answering({"generated_text": " there"}, {"generated_text": "x"})
    result = generate("--url", stub.url, "--prompt", "hello", "--prompt", "y")
    assert (result.exit_code, result.stdout) == (0, " there\nx\n")
    stub.answer = answering({"generated_text": " there"})
    assert generate("--url", stub.url, "--prompt", "hello", "--show-prompt").stdout == "hello there\n"


def test_json_and_row_errors(stub: HttpStub) -> None:
    row = {"generated_text": "é", "num_tokens": 1, "finish_reason": "stop", "error": "", "score": -0.5}
    bad = row | {"generated_text": "", "finish_reason": "error", "error": "text is empty"}
    stub.answer = answering(row, bad)
    result = generate("--url", stub.url, "--json", stdin="a\nb\n")
    assert result.exit_code == 7
    first, second = map(json.loads, result.stdout.splitlines())
    assert first == {
        "prompt": "a",
        "texts": ["é"],
        "num_tokens": [1],
        "finish_reasons": ["stop"],
        "error": "",
        "extra": {"score": -0.5},
    }
    assert second["error"] == "text is empty"
    stub.answer = answering(bad)
    result = generate("--url", stub.url, "--prompt", "b")
    assert (result.exit_code, result.stdout, result.stderr) == (7, "", "error: text is empty\n")


def test_what_is_sent(stub: HttpStub, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("GENSERVE_TOKEN", "from-environment")
    (tmp_path / "prompts").write_text("a\nb\nc\n")
    stub.answer = lambda _, body: (
        200,
        json.dumps({"outputs": {"generated_text": json.loads(body)["inputs"]["text"]}}).encode(),
    )
    result = generate(
        "--url",
        stub.url,
        "--prompt-file",
        str(tmp_path / "prompts"),
        "--rows-per-request",
        "2",
        "--version",
        "3",
    )
    assert result.stdout == "a\nb\nc\n"
    assert [body["inputs"] for body in stub.bodies] == [{"text": ["a", "b"]}, {"text": ["c"]}]
    assert {path for _, path, _, _ in stub.requests} == {"/v1/models/m/versions/3:predict"}
    assert {headers["Authorization"] for _, _, headers, _ in stub.requests} == {"Bearer from-environment"}


def test_prompts_end_where_lines_do(stub: HttpStub, tmp_path: Path) -> None:
    """Unicode knows more ends of lines than files have; ``str.splitlines`` would part these prompts."""
    prompts = ["a\u2028b\x85c\x0cd", "", "e"]
    (tmp_path / "prompts").write_bytes("\r\n".join(prompts).encode() + b"\r\n")
    stub.answer = answering(*[{"generated_text": ""}] * 6)
    generate("--url", stub.url, "--prompt-file", str(tmp_path / "prompts"))
    generate("--url", stub.url, stdin="\n".join(prompts))
    assert [text for body in stub.bodies for text in body["inputs"]["text"]] == prompts * 2


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "prompts").write_bytes(b"a\xff")
    with pytest.raises(OptionError, match="prompts cannot be read: 'utf-8' codec"):
        generate("--url", "http://h", "--prompt-file", str(tmp_path / "prompts"))


@pytest.mark.parametrize(
    ("prompt", "option", "words"),
    [
        ("a\ud800", "n=1", r"no Unicode: it holds '\\ud800'"),
        ("a\udcff", "n=1", "no Unicode"),
        ("a", "n=2020-01-01", "cannot be sent as JSON: .* date"),
        ("a", "n=.nan", "cannot be sent as JSON: Out of range"),
    ],
)
def test_what_json_cannot_hold(prompt: str, option: str, words: str) -> None:
    result = generate("--openai", "http://127.0.0.1:9", "--prompt", prompt, "-o", option)
    assert (result.exit_code, result.stdout) == (7, "")
    assert re.search(words, result.stderr)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give either --url or --grpc"),
        (("--url", "http://h", "--grpc", "h:1"), "give either --url or --grpc"),
        (("--url", "h:1"), "must start with one of"),
        (("--grpc", "h"), "a gRPC address is grpc://HOST:PORT"),
        (("--url", "http://h", "--ca", "none.pem"), "only https:// and grpcs://"),
        (("--grpc", "h:1", "--ca", "none.pem"), "ca none.pem cannot be read"),
        (("--url", "http://h", "--token", "a b"), "token: must be visible ASCII"),
        (("--url", "http://h", "--token", "a", "--token-file", "b"), "--token or --token-file, not both"),
        (("--url", "http://h", "--version", "1", "--label", "x"), "--version or --label, not both"),
        (("--url", "http://h", "--prompt-file", "none.txt"), "--prompt-file none.txt cannot be read"),
        (("--url", "http://h", "--prompt-file", "-"), "no prompt"),
        (("--url", "http://h", "-o", "timeout=3"), "'timeout' is no input of a signature"),
        (("--url", "http://h", "-o", "timeout"), "must be KEY=VALUE"),
        (("--url", "http://h", "-o", "seed=["), r"option: 'seed=\[': the value is no YAML: .*'<stream end>'"),
    ],
)
def test_what_is_refused(arguments: tuple[str, ...], message: str) -> None:
    prompt = () if "--prompt-file" in arguments else ("--prompt", "a")
    with pytest.raises(OptionError, match=message):
        generate(*arguments, *prompt)
    with pytest.raises(OptionError, match="stdin: no prompt"):
        generate("--url", "http://h")
