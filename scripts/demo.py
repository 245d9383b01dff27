#!/usr/bin/env python3
"""The demo behind ``scripts/demo``: every step is a ``genserve`` command that it prints before running it.

Exit code 0 only if each step worked and each request was answered with text.
"""

from __future__ import annotations

import json
import shlex
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

GENSERVE = str(Path(sys.executable).parent / "genserve")
#: Demo checkpoint -> its prompts: the first goes over REST, the second over gRPC.
PROMPTS = {
    "stories": ("Once upon a time", "Question: What colour is the sky? Answer:"),
    "translate": ("translate English to German: forty-two", "translate digits to French: 1980"),
}
READY_SECONDS = 900.0


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="genserve-demo-") as folder:
        for name in PROMPTS:
            run(
                "export", f"demo:{name}", folder, "--prompt-lengths", "32", "--batch-sizes", "1",
                "--max-new-tokens", "96", "--warmup", "minimal", "--target", "cpu",
            )  # fmt: skip
        rest, grpc = free_ports()
        with served(folder, rest, grpc):
            for name, (rest_prompt, grpc_prompt) in PROMPTS.items():
                ask(name, rest_prompt, "--url", f"http://127.0.0.1:{rest}")
                ask(name, grpc_prompt, "--grpc", f"127.0.0.1:{grpc}")
    print("\ndemo: all requests answered")
    return 0


def run(*arguments: str) -> str:
    """Runs a genserve command that must succeed; its standard output is returned and shown."""
    print(f"\n$ genserve {shlex.join(arguments)}", flush=True)
    result = subprocess.run([GENSERVE, *arguments], stdout=subprocess.PIPE, text=True, check=False)
    print(result.stdout, end="", flush=True)
    if result.returncode:
        raise SystemExit(f"demo: genserve {arguments[0]} failed with exit code {result.returncode}")
    return result.stdout


def ask(model: str, prompt: str, *endpoint: str) -> None:
    """Sends one prompt and shows the answer."""
    answer = run("generate", *endpoint, "--model", model, "--prompt", prompt)
    if not answer.strip():
        raise SystemExit(f"demo: {model} answered {prompt!r} with nothing")


@contextmanager
def served(folder: str, rest: int, grpc: int) -> Iterator[None]:
    """Runs ``genserve serve`` and waits until every model is available; stops it in the end."""
    command = ["serve", folder, "--rest-port", str(rest), "--grpc-port", str(grpc)]
    print(f"\n$ genserve {shlex.join(command)} &", flush=True)
    process = subprocess.Popen([GENSERVE, *command])
    try:
        for name in PROMPTS:
            wait_until_available(process, f"http://127.0.0.1:{rest}/v1/models/{name}")
        yield
    finally:
        process.terminate()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_until_available(process: subprocess.Popen[bytes], url: str) -> None:
    """Polls a model's status as TensorFlow Serving reports it."""
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise SystemExit(f"demo: the server stopped with exit code {process.returncode}")
        try:
            with urllib.request.urlopen(url, timeout=5) as reply:
                versions = json.load(reply)["model_version_status"]
            if any(version["state"] == "AVAILABLE" for version in versions):
                return
        except OSError:  # not listening yet, or the model is not loaded yet
            pass
        time.sleep(0.2)
    raise SystemExit(f"demo: {url} was not available within {READY_SECONDS:.0f} s")


def free_ports() -> tuple[int, int]:
    """Two ports that nothing listens on now."""
    with socket.socket() as first, socket.socket() as second:
        first.bind(("127.0.0.1", 0))
        second.bind(("127.0.0.1", 0))
        return first.getsockname()[1], second.getsockname()[1]


if __name__ == "__main__":
    raise SystemExit(main())
