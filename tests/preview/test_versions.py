"""Versions that come and go, policies, labels, and configurations that change under a running server."""

from __future__ import annotations

import shutil
import threading
import time
from pathlib import Path
from typing import Any

import grpc
import pytest
from tensorflow_serving.apis import model_management_pb2, model_service_pb2_grpc

from exporter.client import GrpcClient, RequestError, RestClient
from exporter.errors import ServingError
from exporter.preview import files_beside, replay
from exporter.preview.model_config import version_folders
from serving_configs import protos
from tests.preview import toys
from tests.preview.watch import POLL, eventually, states


def test_a_new_version_replaces_the_old_without_a_gap(start: Any, own_versions: Path, tmp_path: Path) -> None:
    (own_versions / "2").rename(tmp_path / "two")
    server = start(model_name="toy", model_base_path=own_versions, poll_seconds=POLL)
    client = RestClient(server.rest_url, "toy")
    answers: list[str] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            answers.append(client.generate(["a"])[0].text)  # raises on any gap

    thread = threading.Thread(target=ask)
    thread.start()
    (tmp_path / "two").rename(own_versions / "2")
    eventually(lambda: states(client) == {2: "AVAILABLE", 1: "END"})
    stop.set()
    thread.join()
    assert answers[0] == "A v1"
    assert client.generate(["a"])[0].text == "A v2"
    assert answers == sorted(answers)
    # Rolling back: the newest version's folder goes away.
    shutil.rmtree(own_versions / "2")
    eventually(lambda: states(client) == {2: "END", 1: "AVAILABLE"})


def test_a_broken_new_version_leaves_the_old_one(start: Any, own_versions: Path) -> None:
    server = start(model_name="toy", model_base_path=own_versions, poll_seconds=POLL)
    client = RestClient(server.rest_url, "toy")
    (own_versions / "3").mkdir()
    (own_versions / "3" / "saved_model.pb").write_bytes(b"nonsense")
    eventually(lambda: states(client).get(3) == "END")
    failed = client.status()[0]
    assert (failed["version"], failed["error_code"]) == (3, "FAILED_PRECONDITION")
    assert failed["error_message"]
    assert client.generate(["a"])[0].text == "A v2"


def test_a_loader_outlives_any_exception(
    start: Any, own_versions: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A version whose batching file is wrong (no StatusError), and a fault of the server's own."""
    (own_versions / "2").rename(own_versions / "aside")
    batching = "max_batch_size { value: 2 } allowed_batch_sizes: 2"
    (own_versions.parent / "batching.config").write_text(batching)
    server = start(
        model_name="toy",
        model_base_path=own_versions,
        poll_seconds=POLL,
        batching_parameters_file=own_versions.parent / "batching.config",
        enable_per_model_batching_parameters=True,
    )
    client = RestClient(server.rest_url, "toy")
    shutil.copytree(own_versions / "aside", own_versions.parent / "wrong")
    (own_versions.parent / "wrong" / "batching_params.pbtxt").write_text("max_batch_size: 2")
    (own_versions.parent / "wrong").rename(own_versions / "3")
    eventually(lambda: states(client).get(3) == "END")
    assert "batching_params.pbtxt" in client.status()[0]["error_message"]
    with monkeypatch.context() as patched:
        patched.setattr(replay, "replay", lambda servable: 1 // 0)
        shutil.copytree(own_versions / "aside", own_versions.parent / "four")
        (own_versions.parent / "four").rename(own_versions / "4")
        eventually(lambda: states(client).get(4) == "END")
    assert "ZeroDivisionError" in client.status()[0]["error_message"]
    assert client.generate(["a"])[0].text == "A v1"
    (own_versions / "aside").rename(own_versions / "5")
    eventually(lambda: states(client).get(5) == "AVAILABLE")
    assert client.generate(["a"])[0].text == "A v2"


def test_only_numeric_folders_are_versions(tmp_path: Path) -> None:
    for name in ("1", "007", ".tmp-2", "2.partial", "v3", "½", "saved"):
        (tmp_path / name).mkdir()
    (tmp_path / "9").write_text("a file")
    assert sorted(version_folders(tmp_path)) == [1, 7]


def model(base: Path, policy: str = "", labels: str = "") -> str:
    return f'name: "toy" base_path: "{base}" model_platform: "tensorflow" {policy} {labels}'


def test_models_config_is_read_again_when_it_changes(start: Any, toy_versions: Path, tmp_path: Path) -> None:
    config = tmp_path / "models.config"
    config.write_text(
        toys.models_config(model(toy_versions, "model_version_policy { specific { versions: 1 } }"))
    )
    server = start(model_config_file=config, poll_seconds=POLL)
    client = RestClient(server.rest_url, "toy")
    assert states(client) == {1: "AVAILABLE"}
    both = "model_version_policy { all {} }"
    config.write_text(toys.models_config(model(toy_versions, both)))
    eventually(lambda: states(client) == {2: "AVAILABLE", 1: "AVAILABLE"})
    config.write_text(
        toys.models_config(model(toy_versions, both, 'version_labels { key: "stable" value: 1 }'))
    )
    stable = RestClient(server.rest_url, "toy", label="stable")

    def labelled() -> bool:
        try:
            return stable.generate(["a"])[0].text == "A v1"
        except RequestError:
            return False

    eventually(labelled)
    # A file that cannot be read changes nothing.
    config.write_text("model_config_list { nonsense }")
    time.sleep(3 * POLL)
    assert labelled()
    renamed = model(toy_versions).replace('"toy"', '"second"')
    config.write_text(toys.models_config(renamed))
    eventually(lambda: states(client) == {2: "END", 1: "END"})
    assert RestClient(server.rest_url, "second").generate(["a"])[0].text == "A v2"


def test_labels_at_the_start_need_the_flag(start: Any, toy_versions: Path, tmp_path: Path) -> None:
    config = tmp_path / "models.config"
    config.write_text(toys.models_config(model(toy_versions, labels='version_labels { key: "s" value: 2 }')))
    with pytest.raises(
        ServingError, match="FAILED_PRECONDITION: Request to assign label to version 2 of model toy"
    ):
        start(model_config_file=config)
    start(model_config_file=config, **files_beside(config))


def test_reload_over_grpc(start: Any, toy_versions: Path) -> None:
    server = start(model_name="old", model_base_path=toy_versions)
    request = model_management_pb2.ReloadConfigRequest()
    with grpc.insecure_channel(server.grpc_target) as channel:
        stub = model_service_pb2_grpc.ModelServiceStub(channel)
        label = 'version_labels { key: "s" value: 1 }'
        protos.from_text(toys.models_config(model(toy_versions, labels=label)), request.config)
        with pytest.raises(grpc.RpcError) as caught:
            stub.HandleReloadConfigRequest(request)
        assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert GrpcClient(server.grpc_target, "old").generate(["a"])[0].text == "A v2"
        request.config.model_config_list.config[0].version_labels.clear()
        stub.HandleReloadConfigRequest(request)
    assert states(GrpcClient(server.grpc_target, "toy")) == {2: "AVAILABLE"}
    assert states(GrpcClient(server.grpc_target, "old")) == {2: "END"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model_config_list { config { name: 5 } }", "models.config"),
        ('model_config_list { config { name: "a" } }', "needs a name and a base_path"),
        (
            'model_config_list { config { name: "a" base_path: "relative" } }',
            "to have an absolute path or URI",
        ),
        (
            'model_config_list { config { name: "a" base_path: "/x" model_platform: "torch" } }',
            "platform 'torch'",
        ),
        (
            'model_config_list { config { name: "a" base_path: "/x" } config { name: "a" base_path: "/y" } }',
            "model 'a' is listed more than once",
        ),
        ("", "only model_config_list is supported"),
    ],
)
def test_configurations_that_no_server_takes(start: Any, tmp_path: Path, text: str, message: str) -> None:
    config = tmp_path / "models.config"
    config.write_text(text)
    with pytest.raises(ServingError, match=message):
        start(model_config_file=config)
