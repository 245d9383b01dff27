"""The front, in a real nginx before the preview server: TLS, token, size and rate limits, both protocols."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from exporter.client import AsyncClient, Client, GrpcClient, RequestError, RestClient
from exporter.preview.server import PreviewServer
from serving_configs import ServingOptions, nginx, render
from tests.conftest import ROOT
from tests.preview.certificates import Authority
from tests.serving_configs.manifests import manifest

TOKEN = "a.Token-of_43~characters/with+the=usual.ones"
OPTIONS = ServingOptions(max_request_mib=1, requests_per_second=1, burst=20)


_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Front:
    """A running nginx."""

    def __init__(self, folder: Path, backend: PreviewServer, options: ServingOptions) -> None:
        program = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
        if program is None:
            pytest.skip("nginx is not installed")
        self.port = free_port()
        self.authority = Authority()
        key, certificate = self.authority.issue("localhost")
        (folder / "server.key").write_text(key)
        (folder / "server.crt").write_text(certificate)
        (folder / "ca.crt").write_text(self.authority.pem)
        self.ca = folder / "ca.crt"
        ports = {"rest_port": backend.rest_port, "grpc_port": backend.grpc_port}
        text = nginx.render(
            options.model_copy(update=ports),
            timeout_seconds=20,
            upstream="127.0.0.1",
            listen=f"127.0.0.1:{self.port}",
            tls_directory=str(folder),
        ).replace("${GENSERVE_TOKEN}", TOKEN)
        config = folder / "nginx.conf"
        # Workers of a root nginx change to a user who may not enter the test's folder.
        user = "user root; " if os.geteuid() == 0 else ""
        temporary = " ".join(f"{kind}_temp_path {folder}/{kind};" for kind in _TEMPORARY)
        config.write_text(
            f"{user}pid {folder}/pid; error_log {folder}/error.log; daemon off; worker_processes 1;\n"
            f"events {{}}\nhttp {{ access_log off; {temporary}\n{text}\n}}\n"
        )
        check = subprocess.run([program, "-t", "-c", config], capture_output=True, text=True)
        assert check.returncode == 0, check.stderr
        self.process = subprocess.Popen([program, "-c", config], stderr=subprocess.PIPE)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        raise AssertionError((folder / "error.log").read_text())

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    def rest(self, token: str | None = TOKEN) -> RestClient:
        return RestClient(
            self.url, "toy", token=token, verify=ssl.create_default_context(cafile=str(self.ca))
        )

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(20)


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


def grpc_client(front: Front, token: str | None) -> GrpcClient:
    credentials = grpc.ssl_channel_credentials(front.ca.read_bytes())
    return GrpcClient(f"localhost:{front.port}", "toy", credentials=credentials, token=token, timeout=20)


def test_grpc_through_the_front(front: Front) -> None:
    with grpc_client(front, TOKEN) as client:
        assert client.generate(["a"])[0].text == "A v2"
        with pytest.raises(RequestError, match="boom is refused") as caught:
            client.generate(["boom"])
        assert caught.value.code == "INVALID_ARGUMENT"
    with grpc_client(front, "wrong") as client, pytest.raises(RequestError) as caught:
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
    assert text.count("${") == text.count("${GENSERVE_TOKEN}") == 3  # one of them in a comment
