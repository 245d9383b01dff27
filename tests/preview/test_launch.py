"""The choice of a server, and the commands that start a real one."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from exporter.errors import OptionError, ServingError
from exporter.preview import launch
from serving_configs import ServingOptions, SslOptions, render, write
from tests.serving_configs.manifests import manifest
from tests.serving_configs.test_render import docker_words


@pytest.fixture
def no_programs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty PATH; returns its folder."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def program(folder: Path, name: str, body: str = "exit 0") -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def test_auto_prefers_the_real_server(no_programs: Path) -> None:
    assert launch.choose("auto") == "preview"
    with pytest.raises(ServingError, match="is not on PATH; use --engine preview or docker"):
        launch.choose("tensorflow_model_server")
    program(no_programs, "tensorflow_model_server")
    assert launch.choose("auto") == "tensorflow_model_server"


def test_typos_are_named() -> None:
    with pytest.raises(OptionError, match=r"engine 'dockr' \(did you mean 'docker'\?\)"):
        launch.choose("dockr")


def test_docker_needs_a_running_daemon(no_programs: Path) -> None:
    with pytest.raises(ServingError, match="no running Docker daemon"):
        launch.choose("docker")
    program(no_programs, "docker", "exit 1")
    with pytest.raises(ServingError, match="no running Docker daemon"):
        launch.choose("docker")
    program(no_programs, "docker", "echo 27.0")
    assert launch.choose("docker") == "docker"


def test_a_real_server_gets_the_emitted_flags(no_programs: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    files = render([manifest()], ServingOptions(version_labels={"stories": {"stable": 1}}))
    write(files, out / "serving")
    program(
        no_programs,
        "tensorflow_model_server",
        f'printf "%s\\n" "$@" > {tmp_path}/arguments; pwd > {tmp_path}/cwd; exit 3',
    )
    for name in ("bash", "cat", "dirname", "env"):
        (no_programs / name).symlink_to(shutil.which(name, path=os.defpath + ":/usr/bin:/bin") or name)
    assert launch.serve(out, [manifest()], ServingOptions(grpc_port=9000), device="cpu") == 3
    arguments = set((tmp_path / "arguments").read_text().splitlines())
    words = docker_words(files["run-cpu.sh"])
    emitted = {
        word.replace("/models/serving", str(out / "serving")) for word in words if word.startswith("--")
    }
    assert "--port=9000" in arguments
    (config,) = arguments - emitted - {"--port=9000"}
    assert config == f"--model_config_file={out}/serving/models-native.config"
    assert (tmp_path / "cwd").read_text() == f"{out}\n"


def test_docker_runs_the_emitted_script(tmp_path: Path) -> None:
    words = launch.command("docker", tmp_path, "gpu", ServingOptions())
    assert words == (str(tmp_path / "serving" / "run-gpu.sh"),)


def test_a_docker_that_hangs_counts_as_none(no_programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(*words: object, timeout: float, **options: object) -> None:
        raise subprocess.TimeoutExpired("docker", timeout)

    program(no_programs, "docker")
    monkeypatch.setattr(subprocess, "run", hang)
    with pytest.raises(ServingError, match="no running Docker daemon"):
        launch.choose("docker")


PEM = "-----BEGIN X-----"


def test_the_preview_server_gets_the_emitted_flags(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Several models, labels, TLS, polling: what the run scripts say, as far as it knows that."""
    options = ServingOptions(
        version_labels={"stories": {"stable": 1}},
        poll_seconds=7,
        rest_timeout_seconds=33,
        rest_port=9001,
        ssl=SslOptions(server_key=PEM, server_cert=PEM),
    )
    manifests = [manifest(), manifest("chat")]
    write(render(manifests, options), tmp_path / "serving")
    given: dict[str, object] = {}
    monkeypatch.setattr(launch.preview, "serve", lambda **fields: given.update(fields))
    assert launch.serve(tmp_path, manifests, options, engine="preview", host="127.0.0.2") == 0
    serving = tmp_path / "serving"
    assert given == {
        "host": "127.0.0.2",
        "xla_cache": None,
        "page": None,
        "grpc_port": 8500,
        "rest_port": 9001,
        "rest_api_timeout_in_ms": 33_000,
        "rest_api_num_threads": 80,
        "model_config_file": serving / "models.config",
        "poll_seconds": 7,
        "enable_model_warmup": True,
        "monitoring_config_file": serving / "monitoring.config",
        "batching_parameters_file": serving / "batching.config",
        "enable_per_model_batching_parameters": True,
        "ssl_config_file": serving / "ssl.config",
        "allow_version_labels_for_unavailable_models": True,
    }
    given.clear()
    launch.serve(tmp_path, [manifest()], ServingOptions(batching=False), engine="preview")
    assert not given.keys() & {"batching_parameters_file", "enable_per_model_batching_parameters"}


def test_files_older_than_the_models_are_refused(tmp_path: Path) -> None:
    write(render([manifest()]), tmp_path / "serving")
    with pytest.raises(ServingError, match=r"does not list chat: write it anew"):
        launch.serve(tmp_path, [manifest(), manifest("chat")], ServingOptions(), engine="preview")


def test_serving_without_rendered_files_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ServingError, match="genserve config"):
        launch.serve(tmp_path, [manifest()], ServingOptions(), engine="preview")
