"""The emitted scripts, run: run.sh with a pretended server, healthcheck.sh against the preview server."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from exporter.preview.server import PreviewServer
from serving_configs import ServingOptions, protos, render, write
from tests.serving_configs.manifests import manifest
from tests.serving_configs.test_render import docker_words

SERVER = """#!/bin/sh
[ "$1" = --version ] && exit 0
printf '%s\\n' "$@"
env | grep -E '^(NVIDIA_TF32_OVERRIDE|GENSERVE_DEVICE|XLA_CACHE)='
for argument in "$@"; do
  case $argument in --model_config_file=*) cat "${argument#*=}" && ls "/proc/self/cwd/stories" ;; esac
done
"""


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """An export directory under a name that a careless script would trip over."""
    out = tmp_path / "my & models"
    write(render([manifest()]), out / "serving")
    (out / "stories" / "1").mkdir(parents=True)
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "tensorflow_model_server").write_text(SERVER)
    (programs / "tensorflow_model_server").chmod(0o755)
    return out


def run(export: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [export / "serving" / "run.sh", *arguments],
        env={"PATH": f"{export.parent / 'bin'}:{os.environ['PATH']}", "TMPDIR": str(export.parent)},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("device", ["gpu", "cpu"])
def test_run_sh_starts_the_server_with_the_emitted_flags(export: Path, device: str) -> None:
    result = run(export, device, "--enable_model_warmup=false")
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    words = docker_words(render([manifest()])[f"run-{device}.sh"])
    emitted = {word.replace("/models/serving", str(export / "serving")) for word in words if "=" in word}
    ours = [line for line in lines if line.startswith("--")]
    assert ours[-1] == "--enable_model_warmup=false"
    own = f"--model_config_file={export}/serving/models-native.config"
    assert set(ours[:-1]) - {own} == {
        word for word in emitted if word.startswith("--") and not word.startswith("--model_config_file=")
    }
    assert own in ours
    assert f"GENSERVE_DEVICE={device}" in lines
    assert f"XLA_CACHE={export}/xla-cache" in lines
    assert ("NVIDIA_TF32_OVERRIDE=0" in lines) == (device == "gpu")
    # The server watches the very file that a promotion writes, and finds the models from where it runs.
    text, _, versions = result.stdout[result.stdout.index("model_config_list") :].rpartition("}\n")
    config = protos.from_text(text + "}", protos.ModelServerConfig())
    assert config.model_config_list.config[0].base_path == "/proc/self/cwd/stories"
    assert versions == "1\n"
    assert list(export.parent.glob("genserve-models*")) == []


def test_run_sh_explains_itself(export: Path) -> None:
    result = run(export, "tpu")
    assert result.returncode == 2
    assert "usage: run.sh [gpu|cpu]" in result.stderr


def test_run_docker_scripts(export: Path) -> None:
    """The docker command line as docker gets it."""
    program = export.parent / "bin" / "docker"
    program.write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n")
    program.chmod(0o755)
    result = subprocess.run(
        [export / "serving" / "run-gpu.sh", "--enable_profiler=true"],
        env={"PATH": f"{program.parent}:{os.environ['PATH']}", "GPUS": "all"},
        capture_output=True,
        text=True,
        check=True,
    )
    words = result.stdout.splitlines()
    assert words[0] == "run"
    assert words[words.index("--gpus") + 1] == "all"
    assert f"{export}:/models:ro" in words
    published = [words[index + 1] for index, word in enumerate(words) if word == "--publish"]
    assert published == ["127.0.0.1:8500:8500", "127.0.0.1:8501:8501"]
    assert f"{export}/xla-cache:/xla-cache:ro" in words
    assert words[words.index("tensorflow/serving:2.19.1-gpu") + 1] == "/models/serving/start-server.sh"
    assert words[-1] == "--enable_profiler=true"


def healthcheck(text: str, port: int, folder: Path) -> subprocess.CompletedProcess[str]:
    script = folder / "healthcheck.sh"
    script.write_text(text)
    return subprocess.run(
        ["bash", script, "127.0.0.1", str(port)], capture_output=True, text=True, timeout=30
    )


def test_healthcheck_reads_the_state(server: PreviewServer, tmp_path: Path) -> None:
    assert server.rest_port is not None
    good = render([manifest("toy"), manifest("other")])["healthcheck.sh"]
    result = healthcheck(good, server.rest_port, tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    bad = render([manifest("toy"), manifest("missing")])["healthcheck.sh"]
    result = healthcheck(bad, server.rest_port, tmp_path)
    assert result.returncode == 1
    assert "missing has no AVAILABLE version" in result.stderr
    assert healthcheck(good, 9, tmp_path).returncode != 0


def test_healthcheck_fails_while_a_version_is_not_available(tmp_path: Path) -> None:
    """The status call answers 200 in any state: only the state counts."""
    import threading
    from http.server import BaseHTTPRequestHandler, HTTPServer

    state = "LOADING"

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = f'{{"model_version_status": [{{"version": "1", "state": "{state}"}}]}}'.encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as http:
        threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True).start()
        text = render([manifest()])["healthcheck.sh"]
        assert healthcheck(text, http.server_port, tmp_path).returncode == 1
        state = "AVAILABLE"
        assert healthcheck(text, http.server_port, tmp_path).returncode == 0
        http.shutdown()


def test_bash_is_what_the_scripts_ask_for() -> None:
    assert shutil.which("bash")
    for name, text in render([manifest()], ServingOptions()).items():
        if name.endswith(".sh"):
            assert text.startswith("#!/usr/bin/env bash\n")
