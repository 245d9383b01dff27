"""Loading, warming up, versions that come and go, changed configurations, draining."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
import tensorflow as tf
from tensorflow_serving.apis import model_management_pb2, model_service_pb2_grpc

from exporter.client import GrpcClient, RequestError, RestClient
from exporter.errors import ServingError
from exporter.preview import PreviewServer, ServerConfig, files_beside
from exporter.preview.model_config import version_folders
from serving_configs import protos, render, write
from tests.conftest import ROOT
from tests.preview import toys
from tests.serving_configs.manifests import manifest

POLL = 0.1


def eventually(check: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.05)


def states(client: Any) -> dict[int, str]:
    return {item["version"]: item["state"] for item in client.status()}


def test_warmup_is_replayed_before_the_ports_open(start: Any, own_versions: Path) -> None:
    directory = own_versions / "2"
    toys.write_warmup(
        directory, [("serving_default", {"text": ["a"]}), ("compiled", {"x": [[1.0, 2.0, 3.0]]})]
    )
    server = start(model_name="toy", model_base_path=own_versions)
    assert RestClient(server.rest_url, "toy").generate(["a"])[0].text == "A v2"


@pytest.mark.parametrize(
    ("requests", "message"),
    [
        (
            [("serving_default", {"text": ["fine"]}), ("serving_default", {"text": ["boom"]})],
            "boom is refused",
        ),
        ([("nope", {"text": ["a"]})], 'Serving signature key "nope" not found'),
        ([("serving_default", {"txt": ["a"]})], "input tensor alias not found in signature: txt"),
        ([("serving_default", {"text": [1]})], "Expects arg[0] to be string but int32 is provided"),
    ],
)
def test_a_failing_warmup_record_fails_the_load(
    start: Any, own_versions: Path, requests: list[Any], message: str
) -> None:
    toys.write_warmup(own_versions / "2", requests)
    with pytest.raises(ServingError) as caught:
        start(model_name="toy", model_base_path=own_versions)
    assert "model toy version 2" in str(caught.value)
    assert message in str(caught.value)


def test_damaged_and_foreign_warmup_files(start: Any, own_versions: Path) -> None:
    path = own_versions / "2" / "assets.extra" / "tf_serving_warmup_requests"
    toys.write_warmup(own_versions / "2", [("serving_default", {"text": ["a"]})] * 2)
    whole = path.read_bytes()
    path.write_bytes(whole[:-3] + b"xyz")
    with pytest.raises(ServingError, match="verify your warmup data is in TFRecord format"):
        start(model_name="toy", model_base_path=own_versions)
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(b"\xff\xff\xff")
    with pytest.raises(ServingError, match="Failed to parse warmup record"):
        start(model_name="toy", model_base_path=own_versions)
    server = start(model_name="toy", model_base_path=own_versions, enable_model_warmup=False)
    assert states(RestClient(server.rest_url, "toy")) == {2: "AVAILABLE"}


def test_at_most_a_thousand_warmup_records(start: Any, own_versions: Path) -> None:
    toys.write_warmup(own_versions / "2", [("copy", {"text": ["a"]})] * 1001)
    with pytest.raises(ServingError, match=r"Number of warmup records exceeds the maximum \(1000\)"):
        start(model_name="toy", model_base_path=own_versions)


def test_a_version_that_cannot_load_ends_the_start(start: Any, own_versions: Path) -> None:
    pb = own_versions / "2" / "saved_model.pb"
    pb.write_bytes(pb.read_bytes()[:100])
    with pytest.raises(ServingError, match=r"models could not be loaded:\n  - model toy version 2"):
        start(model_name="toy", model_base_path=own_versions)


def test_a_missing_base_path(start: Any, tmp_path: Path) -> None:
    with pytest.raises(ServingError, match="no servable version below"):
        start(model_name="toy", model_base_path=tmp_path / "nothing")


def test_an_empty_base_path_is_waited_for(start: Any, toy_versions: Path, tmp_path: Path) -> None:
    base = tmp_path / "late"

    def arrive() -> None:
        time.sleep(0.5)
        shutil.copytree(toy_versions / "1", tmp_path / "aside")
        base.mkdir()
        (tmp_path / "aside").rename(base / "7")

    thread = threading.Thread(target=arrive)
    thread.start()
    server = start(model_name="toy", model_base_path=base, poll_seconds=POLL)
    thread.join()
    assert states(RestClient(server.rest_url, "toy")) == {7: "AVAILABLE"}


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


def test_the_emitted_files_serve_as_they_are(start: Any, toy_versions: Path, tmp_path: Path) -> None:
    """An export directory with rendered files: /models/NAME is found beside them."""
    shutil.copytree(toy_versions, tmp_path / "stories")
    write(render([manifest(version=1), manifest(version=2)]), tmp_path / "serving")
    config = tmp_path / "serving" / "models.config"
    server = start(model_config_file=config, **files_beside(config))
    assert RestClient(server.rest_url, "stories").generate(["a"])[0].text == "A v2"
    page = httpx.get(server.rest_url + "/monitoring/prometheus/metrics", trust_env=False)
    assert ':tensorflow:serving:request_count{model_name="stories",status="OK"} 1' in page.text


def test_a_taken_port_is_an_error_before_a_model_is_loaded(
    start: Any, server: PreviewServer, tmp_path: Path
) -> None:
    for field, port in (("rest_port", server.rest_port), ("grpc_port", server.grpc_port)):
        with pytest.raises(ServingError, match=f"port .*:{port} cannot be opened: .*Address already in use"):
            start(model_name="toy", model_base_path=tmp_path / "missing", **{field: port})


def test_wrong_files_are_errors_before_a_model_is_loaded(start: Any, tmp_path: Path) -> None:
    for field in ("monitoring_config_file", "ssl_config_file", "batching_parameters_file"):
        for content in (None, "server_kye: 1"):
            file = tmp_path / "file"
            file.unlink(missing_ok=True)
            if content is not None:
                file.write_text(content)
            with pytest.raises(ServingError, match="file: "):
                start(model_name="toy", model_base_path=tmp_path / "missing", **{field: file})


def test_configuration_is_checked() -> None:
    with pytest.raises(ServingError, match="either model_config_file or model_base_path"):
        PreviewServer(ServerConfig())


SERVE = """
import atexit, sys
@atexit.register
def modules():
    rooms = ("model", "tokenizer", "generation", "families", "checkpoint", "pipeline")
    print([name for name in sys.modules if name.split(".")[1:2] and name.startswith("exporter.")
           and name.split(".")[1] in rooms])
from pathlib import Path
import logging
logging.basicConfig(level=logging.INFO)
from exporter.preview import serve
serve(model_name="toy", model_base_path=Path(sys.argv[1]), rest_port=0, grpc_port=0, poll_seconds=0.1)
"""


def test_sigterm_answers_what_is_in_flight_and_leaves(toy_versions: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, str(toy_versions)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    try:
        assert process.stderr is not None
        log: list[str] = []
        for line in process.stderr:
            log.append(line)
            if "ready: REST" in line:
                break
        assert any("development and tests only" in line.replace("\n", "") for line in log), log
        url = log[-1].split("REST ")[1].split(",")[0]
        answers: list[Any] = []
        body = json.dumps({"signature_name": "slow", "inputs": [400_000]})

        def ask() -> None:
            answers.append(
                httpx.post(f"{url}/v1/models/toy:predict", content=body, timeout=60, trust_env=False)
            )

        thread = threading.Thread(target=ask)
        thread.start()
        time.sleep(0.5)
        os.kill(process.pid, signal.SIGTERM)
        thread.join()
        assert answers[0].status_code == 200
        assert process.wait(timeout=60) == 0
        # Nothing of genserve's own model code was loaded.
        assert process.stdout is not None
        assert process.stdout.read() == "[]\n"
    finally:
        process.kill()


def test_importing_the_packages_loads_no_tensorflow() -> None:
    code = (
        "import sys, exporter.preview, exporter.preview.engine, exporter.client, serving_configs; "
        "assert not [m for m in sys.modules if m == 'tensorflow' or m == 'transformers']"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
