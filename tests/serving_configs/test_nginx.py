"""The front, in a real nginx before the preview server: TLS, token, size and rate limits, both protocols."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from exporter.client import AsyncClient, Client, RequestError, RestClient
from exporter.preview.server import PreviewServer
from serving_configs import ServingOptions, render
from tests.conftest import ROOT
from tests.preview.certificates import Authority
from tests.serving_configs.front import TOKEN, Front
from tests.serving_configs.manifests import manifest

OPTIONS = ServingOptions(max_request_mib=1, requests_per_second=1, burst=20)


@pytest.fixture
def front(server: PreviewServer, tmp_path: Path) -> Iterator[Front]:
    running = Front(tmp_path, server, OPTIONS)
    yield running
    running.stop()


def test_rest_through_the_front(front: Front) -> None:
    with front.rest() as client:
        assert client.generate(["a"])[0].text == "A v2"
        assert client.status()[0]["state"] == "AVAILABLE"
        with pytest.raises(RequestError, match="Missing named input"):
            client.predict("copy", {"nope": ["a"]})


@pytest.mark.parametrize("token", [None, "", "wrong", TOKEN + "x", TOKEN[:-1], TOKEN.upper()])
def test_a_wrong_token_is_401(front: Front, token: str | None) -> None:
    with (
        front.rest(token) as client,
        pytest.raises(RequestError, match="missing or wrong bearer token") as caught,
    ):
        client.status()
    assert caught.value.http_status == 401


def test_plaintext_and_foreign_certificates_are_refused(front: Front) -> None:
    plain = httpx.get(f"http://localhost:{front.port}/v1/models/toy", trust_env=False)
    assert plain.status_code == 400
    with (
        RestClient(front.url, "toy", token=TOKEN) as client,
        pytest.raises(RequestError, match="certificate"),
    ):
        client.status()


def test_an_oversized_body_is_413(front: Front) -> None:
    with front.rest() as client:
        with pytest.raises(RequestError, match="larger than 1 MiB") as caught:
            client.predict("copy", {"text": ["x" * 1_100_000]})
        assert caught.value.http_status == 413
        assert len(client.predict("copy", {"text": ["x" * 900_000]})["copy"][0]) == 900_000


def test_too_many_requests_are_429(front: Front) -> None:
    answers: list[str] = []
    with front.rest() as client:
        for _ in range(40):
            try:
                client.status()
                answers.append("")
            except RequestError as error:
                answers.append(str(error))
    assert answers[:15] == [""] * 15
    assert set(answers) == {"", "RESOURCE_EXHAUSTED (HTTP 429): more than 1 requests per second"}


def test_other_paths_stay_inside(front: Front) -> None:
    context = ssl.create_default_context(cafile=str(front.ca))
    headers = {"Authorization": f"Bearer {TOKEN}"}
    for path in ("/", "/monitoring/prometheus/metrics", "/v1/models", "/v1/modelsx/toy"):
        response = httpx.get(front.url + path, headers=headers, verify=context, trust_env=False)
        assert response.status_code == 404
        assert response.json() == {"error": "no such path"}


def test_grpc_through_the_front(front: Front) -> None:
    with front.grpc() as client:
        assert client.generate(["a"])[0].text == "A v2"
        with pytest.raises(RequestError, match="boom is refused") as caught:
            client.generate(["boom"])
        assert caught.value.code == "INVALID_ARGUMENT"
    with front.grpc("wrong") as client, pytest.raises(RequestError) as caught:
        client.status()
    assert caught.value.code == "UNAUTHENTICATED"


@pytest.mark.parametrize("scheme", ["https", "grpcs"])
def test_clients_and_the_command_through_the_front(front: Front, tmp_path: Path, scheme: str) -> None:
    url = f"{scheme}://localhost:{front.port}"
    with Client(url, "toy", token=TOKEN, ca=front.ca) as client:
        assert client.generate(["a"])[0].text == "A v2"
    stranger = tmp_path / "stranger.crt"
    stranger.write_text(Authority().pem)
    for options in ({"ca": stranger, "token": TOKEN}, {"ca": front.ca}, {"ca": front.ca, "token": "wrong"}):
        with Client(url, "toy", **options) as client, pytest.raises(RequestError) as caught:
            client.generate(["a"])
        assert caught.value.code == ("UNAVAILABLE" if options["ca"] == stranger else "UNAUTHENTICATED")

    async def asynchronous() -> str:
        async with AsyncClient(url, "toy", token=TOKEN, ca=front.ca) as client:
            return (await client.generate(["a"]))[0].text

    assert asyncio.run(asynchronous()) == "A v2"
    (tmp_path / "token").write_text(TOKEN + "\n")
    endpoint = ["--url", url] if scheme == "https" else ["--grpc", f"localhost:{front.port}"]
    command = [sys.executable, "-m", "exporter", "generate", "--model", "toy", "--prompt", "a", *endpoint]
    result = subprocess.run(
        [*command, "--ca", front.ca, "--token-file", tmp_path / "token"],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert (result.returncode, result.stdout) == (0, "A v2\n"), result.stderr


def test_a_missing_server_is_503(start: Any, tmp_path: Path, toy_versions: Path) -> None:
    backend = start(model_name="toy", model_base_path=toy_versions)
    front = Front(tmp_path, backend, OPTIONS)
    try:
        backend.stop(grace_seconds=1)
        with front.rest() as client, pytest.raises(RequestError, match="does not answer") as caught:
            client.status()
        assert caught.value.http_status == 503
    finally:
        front.stop()


def test_the_emitted_template_leaves_only_the_token_open() -> None:
    text = render([manifest()])["nginx.conf.template"]
    assert text.count("${") == text.count("${GENSERVE_TOKEN}") == 5  # one of them in a comment
