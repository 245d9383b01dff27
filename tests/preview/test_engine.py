"""The choice of a server, and the commands that start a real one."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from exporter.errors import ServingError
from exporter.preview import engine
from serving_configs import ServingOptions, protos, render, write
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
    assert engine.choose("auto") == "preview"
    with pytest.raises(ServingError, match="is not on PATH; use --engine preview or docker"):
        engine.choose("tensorflow_model_server")
    program(no_programs, "tensorflow_model_server")
    assert engine.choose("auto") == "tensorflow_model_server"


def test_docker_needs_a_running_daemon(no_programs: Path) -> None:
    with pytest.raises(ServingError, match="no running Docker daemon"):
        engine.choose("docker")
    program(no_programs, "docker", "exit 1")
    with pytest.raises(ServingError, match="no running Docker daemon"):
        engine.choose("docker")
    program(no_programs, "docker", "echo 27.0")
    assert engine.choose("docker") == "docker"


def test_the_native_command_has_the_emitted_flags_and_local_paths(tmp_path: Path) -> None:
    out, scratch = tmp_path / "out", tmp_path / "scratch"
    scratch.mkdir()
    options = ServingOptions(version_labels={"stories": {"stable": 1}})
    files = render([manifest()], options)
    write(files, out / "serving")
    command = engine.native_command(out, [manifest()], options, "cpu", scratch)
    words = docker_words(files["run-cpu.sh"])
    emitted = {
        word.replace("/models/serving", str(out / "serving")) for word in words if word.startswith("--")
    }
    ours = set(command.arguments[1:])
    assert ours - emitted == {f"--model_config_file={scratch}/models.config"}
    assert {flag.split("=")[0] for flag in ours} <= {flag.split("=")[0] for flag in emitted}
    config = protos.from_text((scratch / "models.config").read_text(), protos.ModelServerConfig())
    assert config.model_config_list.config[0].base_path == str(out / "stories")


def test_a_real_server_is_run_and_its_status_returned(no_programs: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    write(render([manifest()]), out / "serving")
    program(no_programs, "tensorflow_model_server", f'echo "$@" > {tmp_path}/arguments; exit 3')
    assert engine.serve(out, [manifest()], ServingOptions(), engine="auto") == 3
    assert "--xla_cpu_compilation_enabled=true" in (tmp_path / "arguments").read_text()


def test_serving_without_rendered_files_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ServingError, match="genserve config"):
        engine.serve(tmp_path, [manifest()], ServingOptions(), engine="preview")
