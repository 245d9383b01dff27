"""Queues, limits, deadlines, keys, servers that go: what a gateway does under load and under attack."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from exporter.client.address import Model
from exporter.client.errors import RequestError
from exporter.client.flow import Deadline, Retry
from exporter.errors import OptionError
from exporter.gateway.admission import Admission
from exporter.gateway.backend import Backends
from exporter.gateway.errors import ApiError
from exporter.gateway.keys import Key, Keys
from exporter.gateway.models import read_manifests
from tests.client.stubs import HttpStub
from tests.conftest import ROOT
from tests.gateway.conftest import Running, until
from tests.gateway.fake import manifest

GOOD = (200, b'{"outputs": {"generated_text": ["A"]}}')
FULL = (503, b'{"error": "The batch scheduling queue is full"}')
Start = Callable[..., Running]


def post(running: Running, content: bytes, **headers: str) -> httpx.Response:
    return httpx.post(running.url + "/v1/completions", content=content, headers=headers)


def body(**changes: Any) -> bytes:
    return json.dumps({"model": "toy", "prompt": "ab", **changes}).encode()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\xff{}", "not valid UTF-8"),
        (b'{"model": "toy", "prompt": "\\ud800"}', "not valid UTF-8"),
        (b"{", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"[1]", "must be a JSON object, got [1]"),
        (b'{"model": "toy", "prompt": "a", "top_p": NaN}', "NaN is no number of JSON"),
        (b'{"model": "toy", "prompt": "a", "user": ' + b"[" * 101 + b"]" * 101 + b"}", "nested too deeply"),
        (
            b'{"model": "toy", "prompt": "a", "repetition_penalty": 1e999}',
            "should be a finite number, got inf",
        ),
        (b'{"prompt": "a"}', "model: required, but missing"),
        (b'{"model": 3, "prompt": "a"}', "model: input should be a valid string, got 3"),
    ],
)
def test_bodies_of_no_form(running: Running, content: bytes, words: str) -> None:
    answer = post(running, content)
    assert answer.status_code == 400
    assert words in answer.json()["error"]["message"]
    assert answer.json()["error"].keys() == {"message", "type", "param", "code"}


def test_a_fault_is_500_and_says_nothing_more(running: Running, caplog: pytest.LogCaptureFixture) -> None:
    running.fake.failures = [ValueError("a secret of the gateway")]  # type: ignore[list-item]
    answer = post(running, body())
    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "internal_error"
    assert "secret" not in answer.text
    assert "a secret of the gateway" in caplog.text


def test_paths_and_methods(running: Running) -> None:
    for method, path, status in (("GET", "/v1/nothing", 404), ("GET", "/v1/completions", 405)):
        answer = httpx.request(method, running.url + path)
        assert answer.status_code == status
        assert answer.json()["error"]["type"] in ("not_found_error", "invalid_request_error")


def test_large_and_slow_bodies(start: Start) -> None:
    running = start(max_body_bytes=1000, body_seconds=0.3)
    assert post(running, body(prompt="x" * 2000)).status_code == 413
    chunked = httpx.post(running.url + "/v1/completions", content=iter([b"x" * 600] * 2))
    assert chunked.status_code == 413
    assert chunked.json()["error"]["code"] == "request_too_large"
    host, port = running.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as slow:
        slow.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{")
        assert b" 408 " in slow.recv(100)


def test_a_full_queue_is_429_and_the_rest_is_answered(start: Start) -> None:
    running = start(at_once=2, queue_depth=1)
    running.fake.held_after = 0
    with ThreadPoolExecutor(8) as threads:
        held = [threads.submit(post, running, body(), **{"X-Request-Timeout": "1"}) for _ in range(3)]
        until(lambda: running.gateway.admission.inside == 3)
        refused = post(running, body())
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) >= 1
        assert refused.json()["error"]["type"] == "rate_limit_error"
        assert b"genserve_gateway_requests_inside 3.0" in httpx.get(running.url + "/metrics").content
    assert {answer.result().status_code for answer in held} == {504}
    running.fake.held_after = None
    assert post(running, body()).status_code == 200


def test_retry_after_goes_by_the_pace() -> None:
    admission = Admission(at_once=2, depth=8)
    admission._mean_seconds = 3.0
    inside = [admission.request() for _ in range(10)]
    for stay in inside:
        stay.__enter__()
    with pytest.raises(ApiError) as error, admission.request():
        pass
    assert error.value.headers == {"Retry-After": "12"}


def test_keys_and_their_limits(start: Start, tmp_path: Path) -> None:
    hashed = hashlib.sha256(b"second").hexdigest()
    file = tmp_path / "keys"
    file.write_text(f"# who asks\nalice first\nbob sha256:{hashed} 1\n")
    running = start(keys=file)
    with pytest.raises(openai.AuthenticationError, match="Incorrect API key") as error:
        running.client("third").models.list()
    assert error.value.code == "invalid_api_key"
    assert httpx.get(running.url + "/v1/models").status_code == 401
    for _ in range(3):
        assert running.client("first").models.list()
    assert running.client("second").models.list()
    with pytest.raises(openai.RateLimitError, match="1 requests a minute") as limited:
        running.client("second").models.list()
    assert 0 < int(limited.value.response.headers["retry-after"]) <= 60
    assert httpx.get(running.url + "/health").status_code == 200


def test_a_keys_requests_come_back_with_time() -> None:
    now = [0.0]
    key = Key("a", b"", 60, clock=lambda: now[0])
    for _ in range(6):
        key.take()
    with pytest.raises(ApiError, match="try again in 1 s"):
        key.take()
    now[0] = 1.0
    key.take()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has no key"),
        ("alice", "line 1: must be NAME KEY"),
        ("a k\nb s3cret many", "line 2: 'many' must be a number"),
        ("a sha256:12", "64 hexadecimal digits"),
        ("a k\nb k", "stands there twice"),
    ],
)
def test_key_files_of_no_form(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "keys"
    file.write_text(text)
    with pytest.raises(OptionError, match=words) as error:
        Keys.read(file)
    assert "s3cret" not in str(error.value)


def test_health_and_drain(start: Start) -> None:
    running = start()
    assert httpx.get(running.url + "/health").json() == {"status": "ok", "missing": []}
    running.fake.is_ready = False
    answer = httpx.get(running.url + "/health")
    assert (answer.status_code, answer.json()["missing"]) == (503, ["toy", "whole", "plain"])
    running.gateway.draining = True
    assert httpx.get(running.url + "/health").json()["status"] == "draining"
    assert post(running, body()).status_code == 200  # what comes is answered until the port closes


def test_logs_name_no_prompt(running: Running, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "genserve.gateway"):
        answer = post(running, body(prompt="a secret"), **{"X-Request-Id": "mine-1"})
        post(running, body(prompt="a secret", temperature=9), **{"X-Request-Id": "two\tlines"})
    assert answer.headers["x-request-id"] == "mine-1"
    first, second = [record.fields for record in caplog.records if hasattr(record, "fields")]
    assert first["request_id"] == "mine-1"
    assert (first["status"], first["prompt_tokens"], first["completion_tokens"]) == (200, 8, 9)
    assert second["status"] == 400
    assert second["request_id"] != "two\tlines"
    assert "secret" not in str([first, second])


def test_the_clients_deadline_goes_to_the_server(running: Running) -> None:
    running.fake.__init__()  # type: ignore[misc]
    running.fake.held_after = 0
    answer = post(running, body(), **{"X-Request-Timeout": "nan"})
    assert answer.status_code == 400
    start = time.monotonic()
    answer = post(running, body(stream=True), **{"X-Request-Timeout": "0.2"})
    assert "not read within 0.2 s" in answer.text or "did not answer in time" in answer.text
    assert time.monotonic() - start < 20
    running.fake.held_after = None


def test_another_server_answers_for_one_that_is_full(stub: HttpStub) -> None:
    other = HttpStub()
    stub.answer, other.answer = FULL, GOOD

    async def run(urls: list[str], calls: int) -> list[Any]:
        backends = Backends(urls, Model("m"), rows_at_once=4, retry=Retry(2, first=0.01))
        call = [backends.predict("s", {"text": ["a"]}, Deadline(5)) for _ in range(calls)]
        found = await asyncio.gather(*call, return_exceptions=True)
        await backends.close()
        return found

    try:
        answers = asyncio.run(run([stub.url, other.url], 6))
        assert [answer["generated_text"].tolist() for answer in answers] == [[b"A"]] * 6
        assert len(other.requests) == 6
        before = len(stub.requests)
        (error,) = asyncio.run(run([stub.url], 1))
        assert isinstance(error, RequestError)
        assert error.code == "UNAVAILABLE"
        assert len(stub.requests) == before + 3
    finally:
        other.stop()


def test_no_more_rows_at_once_than_the_batches_hold(stub: HttpStub) -> None:
    inside = [0, 0]

    def count(path: str, body: bytes) -> tuple[int, bytes]:
        inside[0] += 1
        inside[1] = max(inside)
        time.sleep(0.02)
        inside[0] -= 1
        return GOOD

    stub.answer = count

    async def run() -> None:
        backends = Backends([stub.url], Model("m"), rows_at_once=3)
        await asyncio.gather(*(backends.predict("s", {"text": ["a"]}, Deadline(9)) for _ in range(12)))
        late = backends.predict("s", {"text": ["a"]}, Deadline(0))
        with pytest.raises(RequestError, match="DEADLINE_EXCEEDED"):
            await late
        await backends.close()

    asyncio.run(run())
    assert inside[1] <= 3
    assert len(stub.requests) == 12


def test_a_signal_lets_what_is_inside_be_answered(stub: HttpStub, tmp_path: Path) -> None:
    """``/health`` turns 503, a request in work gets its answer, the process ends well."""
    ids = {"input_ids": [[97]], "num_tokens": [1]}
    answer = {"generated_text": ["A"], "num_tokens": [1], "finish_reason": ["stop"]}

    def reply(path: str, content: bytes) -> tuple[int, bytes]:
        if not content:
            return 200, b'{"model_version_status": [{"version": "1", "state": "AVAILABLE", "status": {}}]}'
        return 200, json.dumps({"outputs": ids if b'"encode"' in content else answer}).encode()

    stub.answer = reply
    plain = manifest(name="plain", without=("resume", "generate_tokens", "encode_segments"), chat=None)
    plain.write(tmp_path)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
    arguments = ["--backend", stub.url, "--manifest", str(tmp_path), "--port", url.rpartition(":")[2]]
    program = [sys.executable, "-m", "exporter", "gateway", *arguments, "--drain", "0.5"]
    with (
        subprocess.Popen(program, cwd=ROOT, stderr=subprocess.PIPE) as process,
        ThreadPoolExecutor(1) as threads,
    ):
        try:
            until(lambda: httpx.get(url + "/health").status_code == 200)
            stub.release.clear()
            held = threads.submit(httpx.post, url + "/v1/completions", content=body(model="plain"))
            until(lambda: b"requests_inside 1.0" in httpx.get(url + "/metrics").content)
            process.terminate()
            until(lambda: httpx.get(url + "/health").json()["status"] == "draining")
            until(lambda: not listens(url))
            stub.release.set()
            assert held.result().json()["choices"][0]["text"] == "A"
            assert process.wait(20) == 0
        finally:
            stub.release.set()
            process.kill()


def listens(url: str) -> bool:
    try:
        return httpx.get(url + "/health").status_code > 0
    except httpx.TransportError:
        return False


def test_manifests_are_read_from_files_folders_and_urls(tmp_path: Path, stub: HttpStub) -> None:
    for version in (1, 2):
        manifest(version=version).write(tmp_path / "toy" / str(version))
    assert [one.version for one in read_manifests([str(tmp_path)])] == [1, 2]
    assert [one.version for one in read_manifests([str(tmp_path / "toy" / "2")])] == [2]
    stub.answer = (200, manifest(version=7).model_dump_json().encode())
    assert [one.version for one in read_manifests([stub.url + "/genserve.json"])] == [7]
    (tmp_path / "other.json").write_text("{}")
    for place, words in (
        (str(tmp_path / "none"), "cannot be read"),
        (str(tmp_path / "toy"), "no assets.extra"),
        (str(tmp_path / "other.json"), "is none"),
        ("ftp://host/x", "http://"),
    ):
        with pytest.raises(OptionError, match=words):
            read_manifests([place])
