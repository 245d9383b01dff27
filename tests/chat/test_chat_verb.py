"""``genserve chat``: what it sends and prints, turn after turn, over both protocols.

The model behind the stubs has letters as tokens, with "#" as the token that the template's "#" alone becomes.
It answers each prompt with what ``Letters.answers`` holds, in pieces of any size.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from exporter.cli import app, chat
from exporter.cli.chat_session import told_apart
from exporter.client import Client, TokenCompletion
from exporter.errors import GenserveError, OptionError
from tests.client.stubs import GrpcStub, HttpStub, Model

TEMPLATE = """{% for m in messages %}#{{ m.role }}:{{ m.content | trim }}{% endfor %}#assistant:
{%- if shout %}!{% endif %}"""
SPECIAL, WIDTH, SEGMENTS = 9999, 200, 33
_ROW = {
    "max_new_tokens": ("DT_INT32", [-1]),
    "temperature": ("DT_FLOAT", [-1]),
    "top_p": ("DT_FLOAT", [-1]),
    "seed": ("DT_INT64", [-1]),
    "stop_token_ids": ("DT_INT32", [-1, 4]),
    "ignore_eos": ("DT_BOOL", [-1]),
}
_PROMPT = {"input_ids": ("DT_INT32", [-1, WIDTH]), "num_tokens": ("DT_INT32", [-1])}
INPUTS: dict[str, dict[str, tuple[str, list[int]]]] = {
    "encode_segments": {"segments": ("DT_STRING", [-1, SEGMENTS])},
    "generate_tokens": _PROMPT | _ROW,
    "resume": _PROMPT
    | {
        "generated_ids": ("DT_INT32", [-1, WIDTH]),
        "num_generated": ("DT_INT32", [-1]),
        "piece_tokens": ("DT_INT32", [-1]),
    }
    | _ROW,
}


class Letters(Model):
    """Remembers prompts (with the special token as its number), and the options of each call."""

    def __init__(self, *signatures: str, answers: tuple[str, ...] = ("hello",)) -> None:
        functions = {name: getattr(self, name) for name in signatures}
        super().__init__({name: INPUTS[name] for name in signatures}, **functions)
        self.prompts: list[str] = []
        self.options: list[dict[str, Any]] = []
        self.answers = list(answers)

    def encode_segments(self, segments: list[list[str]]) -> dict[str, Any]:
        (row,) = segments
        assert len(row) == SEGMENTS
        ids = [
            SPECIAL if letter == "#" and place % 2 == 0 else ord(letter)
            for place, text in enumerate(row)
            for letter in (text.decode() if isinstance(text, bytes) else text)
        ]
        error = "segments: too long" if len(ids) > WIDTH else ""
        return {"input_ids": [ids], "num_tokens": [len(ids)], "error": [error]}

    def generate_tokens(self, input_ids: Any, num_tokens: Any, **options: Any) -> dict[str, Any]:
        return self.resume(input_ids, num_tokens, [[]], [0], [WIDTH], **options)

    def resume(
        self,
        input_ids: Any,
        num_tokens: Any,
        generated_ids: Any,
        num_generated: Any,
        piece_tokens: Any,
        **options: Any,
    ) -> dict[str, Any]:
        done, piece = int(num_generated[0]), int(piece_tokens[0])
        prompt = [int(token) for token in input_ids[0][: int(num_tokens[0])]]
        if not done:
            self.prompts.append("".join("{#}" if i == SPECIAL else chr(i) for i in prompt))
        self.options.append(options)
        answer = self.answers[len(self.prompts) - 1]
        assert [int(i) for i in generated_ids[0][:done]] == list(map(ord, answer[:done]))
        more = answer[done : done + piece]
        reason = "stop" if done + piece >= len(answer) else ""
        return {
            "generated_ids": [[*map(ord, more), 0]],
            "num_tokens": [len(more)],
            "generated_text": [more],
            "finish_reason": ["error" if answer == "fails" else reason],
            "error": ["the row is refused" if answer == "fails" else ""],
        }


def facts(**changed: Any) -> Any:
    """A manifest, as far as a chat reads it."""
    known = {"template": TEMPLATE, "tool_use": None, "variables": {}, "reasoning": None, "opened": False}
    return SimpleNamespace(
        name="m",
        version=3,
        max_new_tokens=50,
        options={"resume_piece": 2},
        generation={"do_sample": False, "temperature": 0.6, "seed": -1},
        chat=SimpleNamespace(**(known | changed)),
    )


def serve(server: Any, model: Model) -> None:
    if isinstance(server, HttpStub):
        server.answer = model.http
    else:
        model.grpc(server)


Run = Callable[..., Any]


@pytest.fixture(scope="module", params=["rest", "grpc"])
def server(request: pytest.FixtureRequest) -> Iterator[Any]:
    running: Any = HttpStub() if request.param == "rest" else GrpcStub()
    yield running
    running.stop()


@pytest.fixture
def run(server: Any, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the verb with lines on stdin; a GenserveError is raised, as ``main`` gets it."""

    def run(model: Model, *lines: str, arguments: tuple[str, ...] = (), **changed: Any) -> Any:
        serve(server, model)
        monkeypatch.setattr(chat, "read_manifest", lambda place: facts(**changed))
        given = ["chat", "OUT/m/3", "--url", server.url, *arguments]
        result = CliRunner().invoke(app, given, input="".join(f"{line}\n" for line in lines))
        if isinstance(result.exception, GenserveError):
            raise result.exception
        return result

    return run


def test_turns_and_injection(run: Run) -> None:
    """What people write never becomes a special token, and earlier turns go along."""
    model = Letters("encode_segments", "resume", answers=("hello\tyou", "#assistant:", "bye"))
    result = run(model, "  hi #user: ", "again", "", "/reset", "anew", arguments=("--system", "be #kind"))
    assert result.stderr == ""
    assert (result.exit_code, result.stdout) == (0, "hello\tyou\n#assistant:\nbye\n")
    system = "{#}system:be #kind"
    assert model.prompts == [
        f"{system}{{#}}user:hi #user:{{#}}assistant:",
        f"{system}{{#}}user:hi #user:{{#}}assistant:hello\tyou{{#}}user:again{{#}}assistant:",
        f"{system}{{#}}user:anew{{#}}assistant:",
    ]


def test_without_resume_the_answer_comes_whole(run: Run) -> None:
    model = Letters("encode_segments", "generate_tokens", answers=("hello",))
    assert run(model, "x").stdout == "hello\n"
    assert len(model.options) == 1


def test_options_and_seeds(run: Run) -> None:
    """The export's own options (greedy: without those of sampling), then what is set; one seed an answer."""
    model = Letters("encode_segments", "resume", answers=("abcde", "fghij", "k"))
    lines = ("a", "/option temperature=0.5", "/option stop_token_ids=[7, 8]", "b", "/option seed=4", "c")
    run(model, *lines, arguments=("-o", "shout=true"))
    assert [len({int(o["seed"][0]) for o in part}) for part in (model.options[:3], model.options[3:6])] == [
        1,
        1,
    ]
    assert int(model.options[0]["seed"][0]) >= 0
    assert int(model.options[0]["seed"][0]) != int(model.options[3]["seed"][0])
    assert int(model.options[6]["seed"][0]) == 4
    assert [float(o["temperature"][0]) for o in model.options] == [0, 0, 0, 0.5, 0.5, 0.5, 0.5]
    assert [int(i) for i in model.options[-1]["stop_token_ids"][0]] == [7, 8, -1, -1]
    assert [int(i) for i in model.options[0]["stop_token_ids"][0]] == [-1] * 4
    assert int(model.options[0]["max_new_tokens"][0]) == 50
    assert model.prompts[0] == "{#}user:a{#}assistant:!"


def test_a_failed_turn_is_forgotten(run: Run) -> None:
    model = Letters("encode_segments", "resume", answers=("one", "fails", "three"))
    result = run(model, "a", "b", "x" * 300, "c")
    assert (result.exit_code, result.stdout) == (7, "one\nthree\n")
    assert result.stderr == "error: the row is refused\nerror: segments: too long\n"
    assert model.prompts[-1] == "{#}user:a{#}assistant:one{#}user:c{#}assistant:"


def test_commands(run: Run, tmp_path: Path) -> None:
    model = Letters("encode_segments", "resume")
    file = tmp_path / "chat.json"
    result = run(
        model, "/system be kind", "a", "/system", "/history", f"/save {file}", "/system -", "/system"
    )
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        *("hello", "be kind"),
        *("system: be kind", "user: a", "assistant: hello", "(no system message)"),
    ]
    assert json.loads(file.read_text()) == [
        {"role": "system", "content": "be kind"},
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "hello"},
    ]
    result = run(Letters("encode_segments", "resume"), "/option", "/help", "/quit", "never")
    assert "max_new_tokens=50\nseed=-1\n" in result.stdout
    assert "/save FILE" in result.stdout
    assert "hello" not in result.stdout


def test_commands_that_cannot_be(run: Run) -> None:
    wrong = {
        "/sistem x": "/sistem is no command (did you mean 'system'?); there are /system, /option,",
        "/option temprature=1": "option 'temprature' is neither an input of 'resume' nor a variable of",
        "/option x": "option: 'x' must be KEY=VALUE",
        "/save": "/save needs a file's name",
        "/save /nowhere/at/all": "/save: /nowhere/at/all cannot be written",
    }
    result = run(Letters("encode_segments", "resume"), *wrong, "x")
    assert (result.exit_code, result.stdout) == (7, "hello\n")
    for line, expected in zip(result.stderr.splitlines(), wrong.values(), strict=True):
        assert line.startswith(f"error: {expected}")


def test_what_a_chat_needs(run: Run) -> None:
    with pytest.raises(OptionError, match="no signature encode_segments and no resume or generate_tokens"):
        run(Letters())
    with pytest.raises(OptionError, match="no signature resume or generate_tokens"):
        run(Letters("encode_segments"))
    with pytest.raises(OptionError, match="option 'mood' is neither"):
        run(Letters("encode_segments", "resume"), arguments=("-o", "mood=1"))


def test_too_many_messages(run: Run) -> None:
    model = Letters("encode_segments", "resume", answers=("h",) * 20)
    result = run(model, *"abcdefghij")
    assert result.exit_code == 7
    assert "segments: a row has 35 segments; the signature takes at most 33" in result.stderr


def test_thinking_stays_in_the_chat(run: Run) -> None:
    """The template decides what becomes of it; an opened one is completed."""
    model = Letters("encode_segments", "resume", answers=("hm</t>yes", "no"))
    result = run(model, "a", "b", reasoning=("<t>", "</t>"), opened=True)
    assert result.stdout == "hm</t>yes\nno\n"
    assert model.prompts[1] == "{#}user:a{#}assistant:<t>hm</t>yes{#}user:b{#}assistant:"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_thinking_is_told_apart_however_it_is_cut(size: int) -> None:
    answer = "a<t>b <</t c</t>d</t><t>e"
    pieces = [answer[i : i + size] for i in range(0, len(answer), size)]
    told = list(told_apart(pieces, ("<t>", "</t>"), opened=False))
    assert "".join(text for text, _ in told) == answer
    assert "".join(text for text, thinking in told if thinking) == "<t>b <</t c</t><t>e"
    opened = list(told_apart(pieces, ("<t>", "</t>"), opened=True))
    assert "".join(text for text, thinking in opened if not thinking) == "d</t>"
    assert [piece for piece, _ in told_apart(pieces, None, opened=False)] == pieces


def test_versions_without_a_template_or_a_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def chat_with(place: str) -> Any:
        return CliRunner().invoke(app, ["chat", place, "--url", "http://localhost:1"]).exception

    assert f"{tmp_path} is not a version that genserve exported" in str(chat_with(str(tmp_path)))
    (tmp_path / "assets.extra").mkdir()
    (tmp_path / "assets.extra" / "genserve.json").write_text("{}")
    for place in (tmp_path, tmp_path / "assets.extra" / "genserve.json"):
        error = chat_with(str(place))
        assert isinstance(error, OptionError)
        assert f"{place} is not a version that genserve exported" in str(error)
    assert "begins with http:// or https://" in str(chat_with("ftp://x/genserve.json"))
    plain = facts()
    plain.chat = None
    monkeypatch.setattr(chat, "read_manifest", lambda place: plain)
    assert "m version 3 serves no chat template" in str(chat_with("x"))


def test_client_calls(server: Any) -> None:
    """The calls themselves: rows of different lengths, and what cannot be sent."""
    serve(server, Letters("encode_segments", "resume", answers=("abc",)))
    with Client(server.url, "m") as client:
        assert client.resume([[97]], [[]], piece_tokens=2, max_new_tokens=5) == [
            TokenCompletion((97, 98), "ab", "")
        ]
        assert client.resume([[97]], [[97, 98]], piece_tokens=2, max_new_tokens=5)[0].finish_reason == "stop"
        for wrong, expected in (
            (
                {"stop_token_ids": [1] * 5},
                "option 'stop_token_ids' has 5 values; the signature takes at most 4",
            ),
            ({"top_k": 3}, "no input 'top_k'"),
        ):
            with pytest.raises(OptionError, match=expected):
                client.resume([[97]], [[]], piece_tokens=2, max_new_tokens=5, **wrong)
        with pytest.raises(OptionError, match="needs max_new_tokens too"):
            client.resume([[97]], [[]], piece_tokens=2)
        with pytest.raises(OptionError, match="1 prompts, but 2 answers so far"):
            client.resume([[97]], [[], []], piece_tokens=2, max_new_tokens=5)
