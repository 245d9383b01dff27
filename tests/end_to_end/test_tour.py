"""Every command of the README's tour and all of its Python run, in order, as a reader would type them."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

pytestmark = pytest.mark.end_to_end

README = Path(__file__).resolve().parents[2] / "README.md"
_BLOCK = re.compile(r"<!-- tour(?:: (\S+))? -->\n```(\w+)\n(.*?)```", re.DOTALL)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _wait_available(url: str, server: subprocess.Popen[bytes]) -> None:
    for _ in range(3000):
        assert server.poll() is None, "the server ended"
        try:
            status = httpx.get(url).json()["model_version_status"]
        except httpx.HTTPError:
            time.sleep(0.2)
            continue
        if status[0]["state"] == "AVAILABLE":
            return
        time.sleep(0.2)
    raise AssertionError("the server never became available")


def test_the_tour(tmp_path: Path) -> None:
    blocks = _BLOCK.findall(README.read_text(encoding="utf-8"))
    assert len(blocks) >= 8
    assert {language for _, language, _ in blocks} == {"bash", "python", "yaml"}
    rest, grpc = str(_free_port()), str(_free_port())
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path}
    server: subprocess.Popen[bytes] | None = None
    output = ""
    try:
        for label, language, text in blocks:
            text = text.replace("8501", rest).replace("8500", grpc)
            if label == "server":
                server = subprocess.Popen(["bash", "-ec", f"exec {text}"], cwd=tmp_path, env=environment)
                _wait_available(f"http://127.0.0.1:{rest}/v1/models/stories", server)
            elif label:
                (tmp_path / label).write_text(text)
            else:
                program = [sys.executable, "-c"] if language == "python" else ["bash", "-ec"]
                process = subprocess.run(
                    [*program, text],
                    cwd=tmp_path,
                    env=environment,
                    capture_output=True,
                    text=True,
                    check=False,
                )
                assert process.returncode == 0, f"{text}\n{process.stdout}\n{process.stderr}"
                output += process.stdout
    finally:
        if server is not None:
            server.terminate()
            server.wait(60)
    assert server is not None
    assert server.returncode == 0
    assert "Once upon a time" in output
    assert "the prompt is empty" in output
    assert '"generated_text"' in output
    assert ": verified\n" in output
