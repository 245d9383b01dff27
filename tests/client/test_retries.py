"""Repetition, deadlines, cancelled calls; what a caller shows at the door."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from tensorflow_serving.apis import get_model_metadata_pb2, predict_pb2

from exporter.client import AsyncClient, Client, RequestError
from exporter.client.address import Address, read_token
from exporter.client.flow import Deadline, Retry
from exporter.errors import OptionError
from tests.client.stubs import GrpcStub, HttpStub
from tests.preview.certificates import Authority

FULL = (503, b'{"error": "The batch scheduling queue is full"}')
GOOD = (200, b'{"outputs": {"generated_text": ["A"]}}')


def echo(path: str, body: bytes) -> tuple[int, bytes]:
    return 200, json.dumps({"outputs": {"generated_text": json.loads(body)["inputs"]["text"]}}).encode()


def failing(times: int, failure: Any = FULL) -> Any:
    """Fails so many times, then answers."""
    left = iter(range(times))
    return lambda path, body: GOOD if next(left, None) is None else failure


def ask(url: str, asynchronous: bool, **options: Any) -> Any:
    """One prompt through either client."""
    if not asynchronous:
        with Client(url, "m", **options) as client:
            return client.generate(["a"])

    async def run() -> Any:
        async with AsyncClient(url, "m", **options) as client:
            return await client.generate(["a"])

    return asyncio.run(run())


@pytest.mark.parametrize("asynchronous", [False, True])
def test_what_is_unavailable_is_asked_again(stub: HttpStub, asynchronous: bool) -> None:
    stub.answer = failing(3)
    assert ask(stub.url, asynchronous)[0].text == "A"
    assert len(stub.requests) == 4
    stub.answer = failing(3)
    with pytest.raises(RequestError, match="queue is full"):
        ask(stub.url, asynchronous, retries=2)
    assert len(stub.requests) == 7


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 504])
def test_other_errors_are_final(stub: HttpStub, asynchronous: bool, status: int) -> None:
    stub.answer = failing(1, (status, b'{"error": "no"}'))
    with pytest.raises(RequestError, match="no"):
        ask(stub.url, asynchronous)
    assert len(stub.requests) == 1


def grpc_answers(fails: Callable[[], bool]) -> dict[str, Any]:
    """Handlers that generate "A", or are unavailable."""

    def predict(request: Any, context: Any) -> Any:
        if fails():
            context.abort(grpc.StatusCode.UNAVAILABLE, "full")
        response = predict_pb2.PredictResponse()
        response.outputs["generated_text"].dtype = 7
        response.outputs["generated_text"].tensor_shape.dim.add(size=1)
        response.outputs["generated_text"].string_val.append(b"A")
        return response

    metadata = get_model_metadata_pb2.GetModelMetadataResponse()
    return {"Predict": predict, "GetModelMetadata": lambda *_: metadata}


@pytest.mark.parametrize("asynchronous", [False, True])
def test_grpc_is_asked_again(grpc_stub: GrpcStub, asynchronous: bool) -> None:
    left = iter(range(2))
    grpc_stub.handlers = grpc_answers(lambda: next(left, None) is not None)
    assert ask(grpc_stub.url, asynchronous, token="s.e-cret")[0].text == "A"
    assert len(grpc_stub.requests) == 4  # the metadata once
    assert {sent["authorization"] for sent in grpc_stub.metadata} == {"Bearer s.e-cret"}


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("kind", [HttpStub, GrpcStub])
def test_a_server_that_is_not_there_yet(kind: Any, asynchronous: bool) -> None:
    """Connections are refused; the server starts while the client waits."""
    early = kind()
    url, port = early.url, int(early.url.rpartition(":")[2])
    early.stop()
    with pytest.raises(RequestError) as caught:
        ask(url, asynchronous, retries=0)
    assert caught.value.code == "UNAVAILABLE"
    answers: list[Any] = []
    waiting = threading.Thread(target=lambda: answers.extend(ask(url, asynchronous, retries=100, timeout=60)))
    waiting.start()
    waiting.join(0.3)
    assert waiting.is_alive()
    server = kind(port)
    if kind is HttpStub:
        server.answer = GOOD
    else:
        server.handlers = grpc_answers(lambda: False)
    waiting.join(60)
    server.stop()
    assert answers[0].text == "A"


@pytest.mark.parametrize("asynchronous", [False, True])
def test_deadlines(stub: HttpStub, asynchronous: bool) -> None:
    stub.release.clear()
    with pytest.raises(RequestError) as caught:
        ask(stub.url, asynchronous, timeout=0.2)
    assert caught.value.code == "DEADLINE_EXCEEDED"
    stub.release.set()
    stub.answer = FULL
    with pytest.raises(RequestError) as caught:
        ask(stub.url, asynchronous, timeout=0.5, retries=10**6)
    assert caught.value.code in ("UNAVAILABLE", "DEADLINE_EXCEEDED")


def test_one_call_may_have_its_own_deadline(stub: HttpStub) -> None:
    stub.release.clear()
    with Client(stub.url, "m") as client, pytest.raises(RequestError, match="DEADLINE_EXCEEDED"):
        client.generate(["a"], timeout=0.2)
    with pytest.raises(RequestError, match="no answer within 0 s"), Client(stub.url, "m") as client:
        client.status(timeout=0)


def test_a_call_that_gives_up_leaves_its_neighbours(stub: HttpStub) -> None:
    stub.release.clear()
    stub.answer = echo

    async def run() -> list[Any]:
        async with AsyncClient(stub.url, "m", merge_delay=0.02) as client:
            calls = [asyncio.ensure_future(client.generate([prompt])) for prompt in ("a", "b")]
            calls.append(asyncio.ensure_future(client.generate(["c"], timeout=0.3)))
            while not stub.requests:
                await asyncio.sleep(0.01)
            calls[0].cancel()
            await asyncio.wait([calls[2]])
            stub.release.set()
            return await asyncio.gather(*calls, return_exceptions=True)

    first, second, third = asyncio.run(run())
    assert isinstance(first, asyncio.CancelledError)
    assert second[0].text == "b"
    assert isinstance(third, RequestError)
    assert third.code == "DEADLINE_EXCEEDED"


def test_a_client_that_closes_answers_everybody(stub: HttpStub) -> None:
    stub.release.clear()

    async def run() -> list[Any]:
        client = AsyncClient(stub.url, "m", merge_delay=0.02)
        sent = asyncio.ensure_future(client.generate(["a"]))
        while not stub.requests:
            await asyncio.sleep(0.01)
        waiting = asyncio.ensure_future(client.generate(["b"]))
        await asyncio.sleep(0)
        await client.close()
        return await asyncio.wait_for(asyncio.gather(sent, waiting, return_exceptions=True), 10)

    assert [str(answer) for answer in asyncio.run(run())] == ["CANCELLED: the client was closed"] * 2


def test_pauses() -> None:
    """Between nothing and a limit that doubles; never beyond the deadline; a wrong certificate is final."""
    full, retry = RequestError("UNAVAILABLE", "full"), Retry(20, first=0.1, longest=5.0)
    for attempt, longest in ((0, 0.1), (3, 0.8), (10, 5.0)):
        pauses = [retry.pause(attempt, full, Deadline(60)) for _ in range(200)]
        assert 0 <= min(pauses) < 0.2 * longest
        assert 0.8 * longest < max(pauses) <= longest
    with pytest.raises(RequestError, match="full"):
        retry.pause(20, full, Deadline(60))
    with pytest.raises(RequestError, match="full"):
        retry.pause(3, full, Deadline(0))
    with pytest.raises(RequestError, match="VERIFY"):
        retry.pause(0, RequestError("UNAVAILABLE", "CERTIFICATE_VERIFY_FAILED"), Deadline(60))


def test_threads_share_a_client(stub: HttpStub) -> None:
    stub.answer = echo
    texts: dict[int, str] = {}
    with Client(stub.url, "m") as client:

        def work(number: int) -> None:
            texts[number] = client.generate([f"p{number}"])[0].text

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    assert texts == {number: f"p{number}" for number in range(8)}


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://h:1/p/", Address("rest", False, "http://h:1/p/")),
        ("https://h", Address("rest", True, "https://h")),
        ("grpc://h:8500", Address("grpc", False, "h:8500")),
        ("grpcs://[::1]:8500/", Address("grpc", True, "[::1]:8500")),
    ],
)
def test_urls(url: str, expected: Address) -> None:
    assert Address.parse(url) == expected


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("localhost:8501", "must start with one of http://, https://, grpc://, grpcs://"),
        ("ftp://h", "must start with one of"),
        ("http://", "must name a host"),
        ("http://user:pw@h", "must name a host, without user and password"),
        ("grpc://h", "a gRPC address is grpc://HOST:PORT"),
        ("grpcs://h:1/path", "a gRPC address is grpcs://HOST:PORT"),
        ("grpc://h:port", "Port could not be cast"),
    ],
)
def test_urls_that_cannot_be_used(url: str, message: str) -> None:
    for kind in (Client, AsyncClient):
        with pytest.raises(OptionError, match=message):
            kind(url, "m")


def test_tokens_and_authorities_that_cannot_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for token in ("", "a b", "a\n", "é"):
        with pytest.raises(OptionError, match="token: must be visible ASCII"):
            Client("http://h", "m", token=token)
    (tmp_path / "text").write_text("no certificate")
    (tmp_path / "ca.pem").write_text(Authority().pem)
    for ca, message in (("text", "has no certificate"), ("none", "cannot be read"), ("", "cannot be read")):
        with pytest.raises(OptionError, match=message):
            Client("https://h", "m", ca=tmp_path / ca)
    for kind in (Client, AsyncClient):
        for wrong in ({"retries": -1}, {"max_batch_size": 0}):
            with pytest.raises(OptionError, match=r"must be \d or more"):
                kind("http://h", "m", **wrong)
    with pytest.raises(OptionError, match="only https:// and grpcs://"):
        Client("grpc://h:1", "m", ca=tmp_path / "ca.pem")
    monkeypatch.setenv("GENSERVE_TOKEN", "from-environment")
    (tmp_path / "token").write_text("from-file\n")
    assert read_token(None, None) == "from-environment"
    assert read_token("given", None) == "given"
    assert read_token(None, tmp_path / "token") == "from-file"
    with pytest.raises(OptionError, match="not both"):
        read_token("given", tmp_path / "token")
    with pytest.raises(OptionError, match=r"token file .* cannot be read"):
        read_token(None, tmp_path / "none")


def test_a_client_made_before_the_loop() -> None:
    """Connections belong to the loop of the first call."""
    client = AsyncClient("grpc://127.0.0.1:1", "m", retries=0)

    async def run() -> None:
        with pytest.raises(RequestError, match="UNAVAILABLE"):
            await client.status()
        await client.close()

    asyncio.run(run())
