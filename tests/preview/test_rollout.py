"""A running server that watches models.config follows promotions and rollbacks, without a gap."""

from __future__ import annotations

import contextlib
import io
import json
import threading
from pathlib import Path
from typing import Any

import pytest

from exporter.cli import versions
from exporter.client import RestClient
from exporter.deployment import write_serving_configs
from exporter.errors import ServingError
from exporter.preview import files_beside
from exporter.rollout import promote, rollback
from tests.preview.watch import POLL, eventually, states
from tests.serving_configs.manifests import manifest


@pytest.fixture
def deployed(own_versions: Path) -> Path:
    """The toys as an export directory: version 1 is stable, version 2 exists."""
    for version in (1, 2):
        manifest("toy", version).write(own_versions / str(version))
    out = own_versions.parent
    write_serving_configs(out, {"poll_seconds": 1, "batching": False})
    promote(out, "toy", 1)
    return out


def test_a_running_server_follows(start: Any, deployed: Path) -> None:
    config = deployed / "serving" / "models.config"
    server = start(model_config_file=config, poll_seconds=POLL, **files_beside(config))
    client, stable = RestClient(server.rest_url, "toy"), RestClient(server.rest_url, "toy", label="stable")
    assert states(client) == {1: "AVAILABLE"}
    answers: list[str] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            answers.append(stable.generate(["a"])[0].text)  # raises on any gap

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        # In one command: loaded first, then moved, since the server says that it has loaded.
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            versions.promote(str(deployed / "toy"), 2, url=server.rest_url, as_json=True)
        assert json.loads(printed.getvalue())["state"] == "moved"
        eventually(lambda: answers[-1] == "A v2")
        assert states(client) == {2: "AVAILABLE", 1: "AVAILABLE"}  # the former stays, to go back at once
        assert rollback(deployed, "toy").state == "moved"
        eventually(lambda: answers[-1] == "A v1")
        eventually(lambda: states(client) == {2: "END", 1: "AVAILABLE"})
    finally:
        stop.set()
        thread.join()
    assert [text for text, before in zip(answers[1:], answers, strict=False) if text != before] == [
        "A v2",
        "A v1",
    ]


def test_a_label_in_use_is_not_moved_to_what_is_not_loaded(start: Any, deployed: Path) -> None:
    """As the real server: the whole change is refused, each time it looks, until it can be made."""
    config = deployed / "serving" / "models.config"
    server = start(model_config_file=config, poll_seconds=POLL, **files_beside(config))
    client, stable = RestClient(server.rest_url, "toy"), RestClient(server.rest_url, "toy", label="stable")
    text = config.read_text()
    config.write_text(text.replace("versions: 1", "versions: 2").replace("value: 1", "value: 2"))
    waited = threading.Event()
    waited.wait(5 * POLL)
    assert states(client) == {1: "AVAILABLE"}
    assert stable.generate(["a"])[0].text == "A v1"
    config.write_text(text.replace("versions: 1", "versions: 1 versions: 2"))
    eventually(lambda: states(client) == {1: "AVAILABLE", 2: "AVAILABLE"})
    config.write_text(text.replace("versions: 1", "versions: 2").replace("value: 1", "value: 2"))
    eventually(lambda: stable.generate(["a"])[0].text == "A v2")


def test_a_version_that_cannot_load_moves_no_label(start: Any, deployed: Path) -> None:
    config = deployed / "serving" / "models.config"
    server = start(model_config_file=config, poll_seconds=POLL, **files_beside(config))
    (deployed / "toy" / "2" / "saved_model.pb").write_bytes(b"nonsense")
    with pytest.raises(ServingError, match=r"has not loaded toy version 2: .*; the label stays where it was"):
        versions.promote(str(deployed / "toy"), 2, url=server.rest_url)
    assert RestClient(server.rest_url, "toy", label="stable").generate(["a"])[0].text == "A v1"
