"""ssl.config on the gRPC port: TLS, and mutual TLS."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import pytest

from exporter.client import GrpcClient, RequestError
from serving_configs import ServingOptions, SslOptions, render
from tests.preview.certificates import Authority
from tests.serving_configs.manifests import manifest


def write_ssl(path: Path, **fields: Any) -> Path:
    path.write_text(render([manifest()], ServingOptions(ssl=SslOptions(**fields)))["ssl.config"])
    return path


def test_tls(start: Any, toy_versions: Path, tmp_path: Path) -> None:
    authority = Authority()
    key, certificate = authority.issue("localhost")
    ssl = write_ssl(tmp_path / "ssl.config", server_key=key, server_cert=certificate)
    server = start(model_name="toy", model_base_path=toy_versions, ssl_config_file=ssl)
    target = f"localhost:{server.grpc_port}"
    credentials = grpc.ssl_channel_credentials(authority.pem.encode())
    with GrpcClient(target, "toy", credentials=credentials) as client:
        assert client.generate(["a"])[0].text == "A v2"
    with GrpcClient(target, "toy", timeout=5) as client, pytest.raises(RequestError) as caught:
        client.status()
    assert caught.value.code == "UNAVAILABLE"
    stranger = grpc.ssl_channel_credentials(Authority().pem.encode())
    with GrpcClient(target, "toy", credentials=stranger, timeout=5) as client, pytest.raises(RequestError):
        client.status()


def test_mutual_tls(start: Any, toy_versions: Path, tmp_path: Path) -> None:
    authority, clients = Authority(), Authority()
    key, certificate = authority.issue("localhost")
    ssl = write_ssl(
        tmp_path / "ssl.config",
        server_key=key,
        server_cert=certificate,
        custom_ca=clients.pem,
        client_verify=True,
    )
    server = start(model_name="toy", model_base_path=toy_versions, ssl_config_file=ssl)
    target = f"localhost:{server.grpc_port}"
    own_key, own_certificate = clients.issue("client")
    known = grpc.ssl_channel_credentials(authority.pem.encode(), own_key.encode(), own_certificate.encode())
    with GrpcClient(target, "toy", credentials=known) as client:
        assert client.status()[0]["state"] == "AVAILABLE"
    unknown = grpc.ssl_channel_credentials(authority.pem.encode())
    with GrpcClient(target, "toy", credentials=unknown, timeout=5) as client, pytest.raises(RequestError):
        client.status()
