"""``genserve config``, ``serve`` and ``warm`` as typed: what they say, and what they leave in OUT/serving."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from exporter import cli, preview
from exporter.preview import fill_cache
from tests.cli.documented import documented_keys
from tests.serving_configs.manifests import manifest
from tests.serving_configs.test_batching_files import MEASURED
from tests.serving_configs.test_deployment import add
from tests.serving_configs.test_render import docker_words

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def genserve(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """``genserve(*arguments)`` -> exit code, stdout, stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["genserve", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        printed = capsys.readouterr()
        return int(caught.value.code or 0), printed.out, printed.err

    return run


@pytest.fixture
def out(tmp_path: Path) -> Path:
    add(tmp_path / "out")
    return tmp_path / "out"


def flags(out: Path) -> list[str]:
    return docker_words((out / "serving" / "run-cpu.sh").read_text())


def test_config_renders_keeps_and_lists(genserve: Run, out: Path, tmp_path: Path) -> None:
    options = tmp_path / "mine.yaml"
    options.write_text("rest_port: 9001\n")
    code, listed, _ = genserve("config", out, "--options", options, "--serving-version", "2.20")
    assert code == 0
    assert set(listed.split()) == {
        str(path) for path in (out / "serving").iterdir() if path.name != "options.yaml"
    }
    genserve("config", out, "--no-batching")
    words = flags(out)
    assert "--rest_api_port=9001" in words
    assert "${IMAGE:-tensorflow/serving:2.20.0}" in words
    assert "--enable_batching=true" not in words


def test_a_target_is_kept_until_it_is_left_out(genserve: Run, out: Path) -> None:
    overlay, base = Path("kubernetes/gpu/kustomization.yaml"), Path("kubernetes/base")
    code, listed, _ = genserve("config", out, "--target", "kubernetes")
    assert (code, str(out / "serving" / overlay) in listed) == (0, True)
    (out / "serving" / base / "former.yaml").write_text("left by an older rendering")
    (out / "serving" / "kubernetes" / "mine").mkdir()
    (out / "serving" / "kubernetes" / "mine" / "kustomization.yaml").write_text("resources: [../gpu]")
    genserve("config", out, "--no-batching")
    assert (out / "serving" / overlay).exists()
    assert not (out / "serving" / base / "former.yaml").exists()
    genserve("config", out, "--target", "")
    left = [path for path in (out / "serving" / "kubernetes").rglob("*") if path.is_file()]
    assert left == [out / "serving" / "kubernetes" / "mine" / "kustomization.yaml"]


def test_config_lists_as_json(genserve: Run, out: Path) -> None:
    _, listed, noted = genserve("config", out)
    code, printed, error = genserve("config", out, "--json")
    assert (code, error) == (0, "")
    found = json.loads(printed)
    assert found["files"] == listed.splitlines()
    assert [note.split(":")[0] for note in found["notes"]] == [
        "run-gpu.sh serves stories version 1 of --target cpu"
    ]
    assert noted == "".join(f"note: {note}\n" for note in found["notes"])
    assert set(found) == documented_keys("config")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("config", "nowhere"), 5, "error: nowhere is no directory; OUT is what 'genserve export"),
        (("serve", "nowhere"), 5, "error: nowhere is no directory"),
        (("warm", "nowhere"), 5, "error: nowhere is no directory"),
        (("config", "OUT", "--serving-version", "2.18"), 2, "'2.18' is not one of '2.19', '2.20', '2.21'"),
        (("config", "OUT", "--target", "kserv"), 2, "--target: 'kserv' is none (did you mean 'kserve'?)"),
        (("config", "OUT", "--options", "nowhere.yaml"), 2, "nowhere.yaml cannot be read"),
        (("serve", "OUT", "--rest-port", "70000"), 2, "rest_port: Input should be less than"),
        (("serve", "OUT", "--engine", "dockr"), 2, "'tensorflow_model_server', 'docker'"),
        (("serve", "OUT", "--device", "tpu"), 2, "'tpu' is not one of 'gpu', 'cpu'"),
        (("serve", "OUT", "--engine", "preview"), 7, "models.config is missing: export a model, or write"),
        (("warm", "OUT", "--device", "tpu"), 2, "'tpu' is not one of 'gpu', 'cpu'"),
    ],
)
def test_what_is_wrong_is_said(
    genserve: Run, out: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    status, _, error = genserve(*(out if word == "OUT" else word for word in arguments))
    assert (status, message in error) == (code, True), error
    assert "Traceback" not in error


def test_serve_takes_the_kept_options_and_its_own_ports(
    genserve: Run, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {}
    monkeypatch.setattr(preview, "serve", lambda **fields: given.update(fields))
    options = tmp_path / "mine.yaml"
    options.write_text("rest_port: 9001\npoll_seconds: 3\n")
    genserve("config", out, "--options", options)
    assert genserve("serve", out, "--engine", "preview", "--grpc-port", 9000)[0] == 0
    assert (given["rest_port"], given["grpc_port"], given["poll_seconds"]) == (9001, 9000, 3)


def test_serve_names_a_taken_port_at_once(genserve: Run, out: Path) -> None:
    genserve("config", out)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        code, _, error = genserve("serve", out, "--engine", "preview", "--rest-port", port)
    assert code == 7
    assert f"error: REST port 127.0.0.1:{port} cannot be opened: " in error


def test_warm_renders_with_what_it_measured(
    genserve: Run, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measure(output: Path, versions: list[Path], device: str) -> Path:
        for version in versions:
            manifest(warmup=MEASURED.model_copy(update={"device": device})).write(version)
        return output / "xla-cache" / "here"

    monkeypatch.setattr(fill_cache, "warm", measure)
    code, printed, _ = genserve("warm", out)
    assert code == 0
    assert printed.splitlines() == [
        str(out / "xla-cache" / "here"),
        "stories version 1: loaded and warmed up in 12.5 s, 2.500 s a full batch",
    ]
    assert "value: 3" in (out / "serving" / "batching.config").read_text()
    assert "start_period: 62s" in (out / "serving" / "docker-compose.yaml").read_text()


def test_a_real_servers_log_is_shown_whole(genserve: Run, out: Path, tmp_path: Path) -> None:
    """What is hidden of libraries in genserve's own process is the server's to say."""
    line = "2026-01-01 00:00:00.000000: I tensorflow_serving/model_servers/server_core.cc:471] Adding models"
    program = tmp_path / "bin" / "tensorflow_model_server"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\necho '{line}' >&2\n")
    program.chmod(0o755)
    genserve("config", out)
    result = subprocess.run(
        [sys.executable, "-m", "exporter", "serve", str(out), "--engine", "tensorflow_model_server"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PATH": f"{program.parent}:{os.environ['PATH']}"},
    )
    assert result.returncode == 0, result.stderr
    assert line in result.stderr.splitlines()
