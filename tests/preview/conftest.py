"""One pair of toy versions per run, and servers on free ports."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from exporter.preview import PreviewServer, ServerConfig
from tests.preview import toys


@pytest.fixture(scope="session")
def toy_versions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base path with the versions 1 and 2."""
    base = tmp_path_factory.mktemp("toy")
    toys.save(base, 1)
    toys.save(base, 2)
    return base


@pytest.fixture
def own_versions(toy_versions: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(toy_versions, tmp_path / "toy"))


@pytest.fixture(scope="session")
def server(toy_versions: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PreviewServer]:
    """Model "toy", both versions, labels stable and canary, no batching."""
    folder = tmp_path_factory.mktemp("serving")
    config = folder / "models.config"
    config.write_text(
        toys.models_config(
            f'name: "toy" base_path: "{toy_versions}" model_platform: "tensorflow" '
            'model_version_policy { all {} } version_labels { key: "stable" value: 1 } '
            'version_labels { key: "canary" value: 2 }',
            f'name: "other" base_path: "{toy_versions}" '
            "model_version_policy { specific { versions: 1 } }",
        )
    )
    with PreviewServer(
        ServerConfig(
            model_config_file=config,
            rest_port=0,
            grpc_port=0,
            allow_version_labels_for_unavailable_models=True,
            poll_seconds=0,
        )
    ) as running:
        yield running


@pytest.fixture
def start() -> Iterator[Callable[..., PreviewServer]]:
    """Starts servers with ServerConfig fields; stops them at the test's end."""
    running: list[PreviewServer] = []

    def begin(**fields: Any) -> PreviewServer:
        server = PreviewServer(ServerConfig(**({"rest_port": 0, "grpc_port": 0, "poll_seconds": 0} | fields)))
        running.append(server)
        server.start()
        return server

    yield begin
    for server in running:
        server.stop(grace_seconds=1)
