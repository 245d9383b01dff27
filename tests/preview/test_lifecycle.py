"""Starting and ending: warmup, files, ports, draining."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
import tensorflow as tf

from exporter.client import RestClient
from exporter.errors import ServingError
from exporter.preview import PreviewServer, ServerConfig, files_beside
from serving_configs import render, write
from tests.conftest import ROOT
from tests.preview import toys
from tests.preview.watch import POLL, states
from tests.serving_configs.manifests import manifest


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
        "import sys, exporter.preview, exporter.preview.launch, exporter.client, serving_configs; "
        "assert not [m for m in sys.modules if m == 'tensorflow' or m == 'transformers']"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
