"""The emitted front in a real nginx."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
import time
from pathlib import Path

import grpc
import pytest

from exporter.client import GrpcClient, RestClient
from exporter.preview.server import PreviewServer
from serving_configs import ServingOptions, guard, nginx
from tests.preview.certificates import Authority
from tests.serving_configs.manifests import manifest

TOKEN = "a.Token-of_43~characters/with+the=usual.ones"
PREDICT = "/tensorflow.serving.PredictionService/Predict"
# "toy" takes at most 8 rows: the largest batch of its manifest.
OPTIONS = ServingOptions(max_request_mib=1, requests_per_second=100_000, burst=100_000)
_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Front:
    """A running nginx before a preview server; skips where it, or its njs module, is not installed."""

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
            guard_file=str(folder / guard.FILE),
        ).replace("${GENSERVE_TOKEN}", TOKEN)
        (folder / guard.FILE).write_text(guard.render([manifest("toy")]))
        config = folder / "nginx.conf"
        # Workers of a root nginx change to a user who may not enter the test's folder.
        user = "user root; " if os.geteuid() == 0 else ""
        temporary = " ".join(f"{kind}_temp_path {folder}/{kind};" for kind in _TEMPORARY)
        config.write_text(
            f"{user}pid {folder}/pid; error_log {folder}/error.log; worker_processes 1;\n"
            f"events {{}}\nhttp {{ access_log off; {temporary}\n{text}\n}}\n"
        )
        command = [program, *nginx.COMMAND[1:], "-c", str(config)]
        check = subprocess.run([*command, "-t"], capture_output=True, text=True)
        if "dlopen()" in check.stderr:
            pytest.skip("nginx's njs module is not installed")
        assert check.returncode == 0, check.stderr
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE)
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

    def grpc(self, token: str | None = TOKEN) -> GrpcClient:
        credentials = grpc.ssl_channel_credentials(self.ca.read_bytes())
        return GrpcClient(f"localhost:{self.port}", "toy", credentials=credentials, token=token, timeout=20)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(20)
