"""``genserve bench`` from its arguments to its exit code."""

from __future__ import annotations

import itertools
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from exporter.cli import app
from exporter.errors import GenserveError, OptionError, ServingError
from exporter.loadtest.load_report import LoadReport
from exporter.preview.metrics import Metrics
from serving_configs.server_files import METRICS_PATH
from tests.client.conftest import grpc_stub, stub
from tests.client.stubs import Answer, GrpcStub, HttpStub
from tests.gateway.conftest import Running, running
from tests.gateway.fake import manifest as gateway_manifest
from tests.loadtest.pages import cards, in_seconds, table
from tests.loadtest.test_endpoints import served

__all__ = ["grpc_stub", "running", "stub"]


def bench(*arguments: object, model: str = "stories") -> Any:
    """The result; a GenserveError is raised, as ``main`` gets it."""
    result = CliRunner().invoke(app, ["bench", "--model", model, *map(str, arguments)])
    if isinstance(result.exception, GenserveError):
        raise result.exception
    return result


def report(*arguments: object, model: str = "stories") -> LoadReport:
    result = bench(*arguments, "--json", model=model)
    assert result.exit_code == 0, (result.output, result.exception)
    return LoadReport.model_validate_json(result.stdout)


@pytest.fixture
def prompt(tmp_path: Path) -> Path:
    """A file of one."""
    path = tmp_path / "prompt.txt"
    path.write_text("hello\n")
    return path


def with_metrics(stub: HttpStub) -> None:
    """The model, and a page that counts its requests as the preview server does."""
    model, metrics = served(stub), Metrics()

    def answer(path: str, body: bytes) -> Answer:
        if path == METRICS_PATH:
            return 200, metrics.page().encode()
        found = model.http(path, body)
        if path.endswith(":predict"):
            metrics.count_request("stories", "OK")
            metrics.observe_latency("stories", "REST", 3000.0)
        return found

    stub.answer = answer


def failing(stub: HttpStub, fails: Callable[[int], bool]) -> None:
    """The model, whose predictions fail by their number."""
    model, numbers = served(stub), itertools.count(1)

    def answer(path: str, body: bytes) -> Answer:
        if b'"serving_default"' in body and fails(next(numbers)):
            return 503, b'{"error": "the queue is full"}'
        return model.http(path, body)

    stub.answer = answer


def test_a_closed_loop_over_rest(stub: HttpStub, tmp_path: Path) -> None:
    with_metrics(stub)
    page = tmp_path / "report.html"
    found = report("--url", stub.url, "--concurrency", 3, "--requests", 30, "--warmup", 4, "--html", page)
    assert (found.requests.answered, found.requests.failed, found.load.mode) == (30, 0, "closed")
    assert found.latency is not None
    assert found.latency.count == 30
    assert found.throughput.generated_tokens_per_second == pytest.approx(60 / found.seconds)
    # Made prompts know their tokens, and the split signatures tell the buckets.
    assert found.prompts.tokens is not None
    assert found.prompts.tokens.max <= 32
    assert {row.bucket for row in found.buckets} <= {8, 32}
    assert sum(row.requests for row in found.buckets) == 30
    (side,) = found.server
    assert side.statuses == {"OK": 30}  # neither the warm-up nor the counting of prompts
    assert side.request_seconds == pytest.approx(0.003)
    text = page.read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>")
    same_figures(found, text)


def same_figures(report: LoadReport, page: str) -> None:
    """The page shows what ``--json`` prints, to the three digits or more that it has."""
    times = {row[""]: row for row in table(page, "")}
    for name, spread in {
        "latency": report.latency,
        "latency from sending": report.latency_from_sending if report.load.mode == "open" else None,
    }.items():
        assert (name in times) == (spread is not None)
        for key, value in spread.model_dump(exclude={"count", "min"}).items() if spread else ():
            assert in_seconds(times[name][key]) == pytest.approx(value, rel=6e-3)
        assert spread is None or times[name]["of"] == str(spread.count)
    counts = report.requests
    (shown,) = table(page, "sent")
    assert list(map(int, shown.values())) == [
        *(counts.sent, counts.answered, counts.with_row_errors, counts.failed, counts.abandoned)
    ]
    assert [
        (row["of a"], row["code"], int(row["count"]), row["message"])
        for row in (table(page, "of a") if report.errors else ())
    ] == [(error.kind, error.code, error.count, error.message) for error in report.errors]
    assert [row["bucket"] for row in (table(page, "bucket") if report.buckets else ())] == [
        str(row.bucket) for row in report.buckets
    ]
    large = cards(page)
    assert large["requests answered"] == f"{counts.answered} / {counts.sent}"
    speed = report.throughput
    for name, figure in {
        "requests/s answered": speed.requests_per_second,
        "prompt tokens/s": speed.prompt_tokens_per_second,
        "generated tokens/s": speed.generated_tokens_per_second,
    }.items():
        assert (name in large) == (figure is not None)
        assert figure is None or float(large[name]) == pytest.approx(figure, rel=1e-3)


def test_a_sweep_that_finds_a_rate(stub: HttpStub, prompt: Path, tmp_path: Path) -> None:
    """The server takes the first step's load and no more, whatever the time that it needs."""
    failing(stub, lambda number: number > 2 + 20)
    page = tmp_path / "report.html"
    load = ["--sweep", "--latency-goal", "20s", "--rate", 50, "--requests", 20, "--goal-precision", 1]
    result = bench("--url", stub.url, *load, "--warmup", 2, "--prompts", prompt, "--json", "--html", page)
    assert result.exit_code == 0
    found = LoadReport.model_validate_json(result.stdout)
    assert found.sweep is not None
    assert (found.sweep.rate, found.sweep.bounded, found.load.rate) == (50, True, 50)
    assert [(step.rate, step.within_goal) for step in found.sweep.steps] == [(50, True), (100, False)]
    assert (found.requests.answered, found.requests.failed) == (20, 0)  # the best step's
    assert re.findall(r"(?m)^(\d+) requests/s: .*: (within|misses) the goal$", result.stderr) == [
        ("50", "within"),
        ("100", "misses"),
    ]
    text = page.read_text(encoding="utf-8")
    same_figures(found, text)
    rows = table(text, "rate")
    assert [(row["rate"], row["goal"], int(row["failed"])) for row in rows] == [
        ("50", "within", 0),
        ("100", "missed, ended early", found.sweep.steps[1].failed),
    ]
    assert in_seconds(rows[0]["p95"]) == pytest.approx(found.sweep.steps[0].latency, rel=6e-3)
    assert cards(text)["highest rate within 20.0 s, requests/s"] == "50"


def test_rows_that_are_all_refused(stub: HttpStub, tmp_path: Path) -> None:
    model = served(stub)
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"prompt": ""}\n', encoding="utf-8")
    arguments = ["--url", stub.url, "--concurrency", 2, "--requests", 4, "--prompts", rows]
    words = "none of 3 requests before the test was answered: refused row: text: the prompt is empty"
    with pytest.raises(ServingError, match=words):
        bench(*arguments, "--warmup", 3)
    assert [signature for signature, _ in model.calls].count("serving_default") == 3
    result = bench(*arguments, "--warmup", 0)
    assert result.exit_code == 7
    assert "note: no row was answered: each was refused by an error of its own: text: the" in result.stdout
    assert "4 of 4 requests answered" in result.stdout


def test_an_open_loop_over_grpc(stub: HttpStub, grpc_stub: GrpcStub, prompt: Path) -> None:
    model, metrics = served(grpc_stub), Metrics()
    predict = grpc_stub.handlers["Predict"]

    def counted(request: Any, context: Any) -> Any:
        metrics.count_request("stories", "OK")
        metrics.observe_latency("stories", "GRPC", 4000.0)
        return predict(request, context)

    grpc_stub.handlers["Predict"] = counted
    stub.answer = lambda path, body: (200, metrics.page().encode())
    arguments = ["--grpc", grpc_stub.target, "--rate", 100, "--requests", 20, "--warmup", 3]
    found = report(*arguments, "--prompts", prompt, "--metrics", stub.url + METRICS_PATH)
    assert (found.endpoint.kind, found.endpoint.url) == ("grpc", grpc_stub.url)
    assert (found.requests.answered, found.requests.failed) == (20, 0)
    assert found.throughput.generated_tokens_per_second == pytest.approx(40 / found.seconds)
    assert model.calls.count(("serving_default", {"text": ["hello"]})) == 3 + 20
    (side,) = found.server
    assert (side.statuses, side.request_seconds) == ({"OK": 20}, pytest.approx(0.004))
    with pytest.raises(ServingError):  # a page that is named must be there
        bench(*arguments, "--prompts", prompt, "--metrics", "http://127.0.0.1:9/metrics")


def test_a_bar_on_a_terminal_alone(stub: HttpStub, prompt: Path) -> None:
    failing(stub, lambda number: number == 3 + 1)
    command = [sys.executable, "-m", "exporter", "bench", "--url", stub.url, "--model", "stories"]
    options = ["--concurrency", "1", "--requests", "40", "--warmup", "3", "--prompts", str(prompt), "--json"]
    terminal, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100", "NO_COLOR": "1"}
    process = subprocess.Popen(
        [*command, *options], stdout=subprocess.PIPE, stderr=theirs, text=True, env=environment
    )
    os.close(theirs)
    printed, _ = process.communicate(timeout=60)
    shown = b""
    with suppress(OSError):  # Linux' word for the other side's end
        while part := os.read(terminal, 1 << 16):
            shown += part
    os.close(terminal)
    assert process.returncode == 0, shown
    assert LoadReport.model_validate_json(printed).requests.failed == 1  # stdout has the report alone
    last = r"requests ━+ 40/40 \d:\d\d:\d\d \d+\.\d/s(, p95 [\d.]+ m?s)?, 1 failed"
    assert re.search(last, shown.decode()), shown


def test_nothing_said_of_prompts_and_no_buckets_told(stub: HttpStub) -> None:
    served(stub, buckets=False)
    arguments = ["--url", stub.url, "--concurrency", 2, "--requests", 6, "--warmup", 1]
    found = report(*arguments)
    assert found.prompts.source == "made, tokens 1-6"  # as many as the signature tokens takes
    assert any("tells no length buckets (--manifest" in note for note in found.notes)
    with pytest.raises(OptionError, match="tells no length buckets; give --manifest"):
        bench(*arguments, "--prompt-tokens", "buckets")


def test_an_open_loop_of_a_file(stub: HttpStub, tmp_path: Path) -> None:
    served(stub)
    rows = tmp_path / "rows.jsonl"
    rows.write_text(
        '{"prompt": "a", "max_new_tokens": 3}\n{"prompt": "", "max_new_tokens": 5}\n', encoding="utf-8"
    )
    arguments = ["--url", stub.url, "--rate", 200, "--requests", 10, "--warmup", 0, "--prompts", rows]
    found = report(*arguments, "-o", "seed=4")
    assert found.endpoint.signature == "generate"
    assert (found.requests.answered, found.requests.with_row_errors, found.rows_refused) == (10, 5, 5)
    assert [(error.kind, error.count) for error in found.errors] == [("row", 5)]
    assert any("no metrics of the server" in note for note in found.notes)
    sent = [body["inputs"] for body in stub.bodies if body["signature_name"] == "generate"]
    assert {(*inputs["text"], *inputs["max_new_tokens"], *inputs["seed"]) for inputs in sent} == {
        ("a", 3, 4),
        ("", 5, 4),
    }


def test_a_table_for_people(stub: HttpStub) -> None:
    with_metrics(stub)
    result = bench("--url", stub.url, "--concurrency", 1, "--requests", 5)
    assert result.exit_code == 0
    assert "5 of 5 requests answered" in result.stdout
    assert "generated tokens/s" in result.stdout
    assert "latency" in result.stdout
    assert result.stderr == ""  # which is no terminal


def test_a_sweep_says_its_steps(stub: HttpStub, prompt: Path) -> None:
    served(stub)
    arguments = ["--url", stub.url, "--sweep", "--latency-goal", "0.001ms", "--rate", 300, "--requests", 5]
    result = bench(*arguments, "--warmup", 1, "--prompts", prompt)
    assert result.exit_code == 7  # nothing answers within a microsecond
    assert "no rate has its p95 within" in result.stdout
    assert "300 requests/s: " in result.stderr
    assert "misses the goal" in result.stderr


def test_a_stream_through_the_gateway(running: Running, tmp_path: Path, prompt: Path) -> None:
    running.fake.__init__(lambda text, _: "x" * 30)  # type: ignore[misc]
    gateway_manifest().write(tmp_path)
    arguments = [
        "--openai",
        running.url,
        "--concurrency",
        2,
        "--requests",
        8,
        "--warmup",
        2,
        "--prompts",
        prompt,
    ]
    found = report(*arguments, "--manifest", tmp_path, "--stream", "-o", "max_tokens=20", model="toy")
    assert (found.endpoint.path, found.endpoint.streamed) == ("/v1/completions", True)
    assert found.time_to_first_token is not None
    assert found.between_pieces is not None
    assert found.between_pieces.count == 8 * 2  # pieces of 4, 8 and 8 tokens
    assert found.throughput.generated_tokens_per_second == pytest.approx(8 * 20 / found.seconds)
    assert found.throughput.prompt_tokens_per_second == pytest.approx(8 * 5 / found.seconds)
    assert [(row.bucket, row.requests) for row in found.buckets] == [(512, 8)]
    (side,) = found.server
    assert (side.kind, side.statuses, side.generated_tokens) == ("gateway", {"200": 8}, 160)
    assert side.first_piece_seconds is not None
    assert side.first_piece_seconds <= found.time_to_first_token.max


def test_chats_and_whole_answers(running: Running) -> None:
    running.fake.__init__()  # type: ignore[misc]
    arguments = ["--openai", running.url, "--concurrency", 1, "--requests", 3, "--prompt-tokens", 4]
    chats = report(*arguments, "--chat", "--stream", "-o", "max_tokens=9", model="toy")
    assert chats.endpoint.path == "/v1/chat/completions"
    assert chats.time_to_first_token is not None
    whole = report(*arguments, "--rows-per-request", 2, "-o", "max_tokens=4", model="toy")
    assert (whole.rows_answered, whole.time_to_first_token) == (6, None)
    assert whole.throughput.generated_tokens_per_second == pytest.approx(24 / whole.seconds)


def test_refusals_of_a_gateway_are_failures(running: Running) -> None:
    running.fake.__init__()  # type: ignore[misc]
    arguments = ["--openai", running.url, "--concurrency", 1, "--requests", 3, "--prompt-tokens", 4]
    result = bench(*arguments, "--warmup", 0, "-o", "top_p=7", "--json", model="toy")
    assert result.exit_code == 7
    found = LoadReport.model_validate_json(result.stdout)
    assert [(error.kind, error.code, error.count) for error in found.errors] == [
        ("request", "INVALID_ARGUMENT", 3)
    ]


def test_a_server_that_is_not_there() -> None:
    with pytest.raises(ServingError, match="UNAVAILABLE"):
        bench("--url", "http://127.0.0.1:9", "--concurrency", 1, "--prompt-tokens", 4)
    with pytest.raises(ServingError, match="none of 10 requests before the test was answered: UNAVAILABLE"):
        bench("--openai", "http://127.0.0.1:9", "--concurrency", 1, "--prompt-tokens", 4)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--concurrency", 1], "give --url, --grpc or --openai"),
        (["--url", "http://x"], "either --rate"),
        (["--url", "http://x", "--rate", 1, "--concurrency", 1], "either --rate"),
        (["--url", "http://x", "--grpc", "x:1", "--rate", 1], "either --url or --grpc"),
        (["--url", "http://x", "--openai", "http://x", "--rate", 1], "--openai or --url"),
        (["--url", "http://x", "--rate", 1, "--stream"], "--stream: only with --openai"),
        (["--url", "http://x", "--rate", 1, "--duration", "soon"], "--duration: 'soon'"),
        (["--url", "http://x", "--rate", 1, "--sweep"], "--sweep and --latency-goal together"),
        (
            ["--url", "http://x", "--concurrency", 1, "--sweep", "--latency-goal", "1s"],
            "not of --concurrency",
        ),
        (["--url", "http://x", "--rate", 1, "--prompt-tokens", "many"], "--prompt-tokens: 'many'"),
        (["--url", "http://x", "--rate", 1, "--prompts", "nowhere.txt"], "nowhere.txt cannot be read"),
        (["--url", "http://x", "--rate", 1, "--metrics", "localhost"], "--metrics localhost"),
        (["--url", "http://x", "--rate", 1, "--html", "no/folder.html"], "there is no folder"),
        (["--url", "http://x", "--rate", 1, "--html", "."], "--html .: is a folder"),
        (
            ["--openai", "http://x", "--rate", 1, "--model", "a", "--signature", "b"],
            "--openai or --signature",
        ),
        (["--openai", "grpc://x:1", "--rate", 1], "must start with http"),
    ],
)
def test_what_is_refused(arguments: list[object], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        bench(*arguments)


def test_ctrl_c_tells_what_there_is(stub: HttpStub, prompt: Path) -> None:
    served(stub)
    command = [sys.executable, "-m", "exporter", "bench", "--url", stub.url, "--model", "stories"]
    options = ["--concurrency", "2", "--duration", "10m", "--warmup", "2", "--prompts", str(prompt), "--json"]
    process = subprocess.Popen(
        [*command, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Where the tests run in the background of a shell, their children would pass over SIGINT.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    end = time.monotonic() + 60
    while len([body for body in stub.bodies if body["signature_name"] == "serving_default"]) < 50:
        assert time.monotonic() < end, "it never began"
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    printed, errors = process.communicate(timeout=60)
    found = json.loads(printed)
    assert (process.returncode, errors) == (130, "")
    assert found["interrupted"]
    assert found["requests"]["answered"] >= 40
