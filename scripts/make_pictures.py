#!/usr/bin/env python3
"""Makes the pictures of README and docs/ from real runs: docs/images.

    python scripts/make_pictures.py [export] [chat] [page] [bench]

Without arguments it makes all of them, in about ten minutes on two cores. It needs the extra ``test``, ports
8500 and 8501, for the pages Debian's chromium, and for chat and page SmolLM2-135M-Instruct in the directory
that GENSERVE_REAL_MODELS names (scripts/real_models.py makes it). A picture that cannot be made is named,
and left as it is; the exit code is 3 then.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from scripts.pictures.terminal import Terminal, environment  # noqa: E402

IMAGES = ROOT / "docs" / "images"
SKIPPED = 3
MODEL = "SmolLM2-135M-Instruct"
URL = "http://localhost:8501"
#: Where ``input()`` of ``genserve chat`` waits for a line.
CHAT_PROMPT = r"[\r\n]> \Z"


class SkippedError(Exception):
    """A picture cannot be made here; the message says why."""


def export(folder: Path, variables: Mapping[str, str]) -> None:
    """An export, a server and two requests, in one terminal."""
    place = folder / "demo"
    place.mkdir()
    with Terminal(place, variables) as terminal:
        terminal.run(
            "genserve export demo:stories models --max-new-tokens 32 \\",
            "    --prompt-lengths 32 --batch-sizes 1,4 --target cpu",
            most=16,
        )
        terminal.run("genserve serve models > server.log 2>&1 &")
        wait_for("stories")
        terminal.run(
            "genserve generate --url http://localhost:8501 --model stories \\",
            '    --prompt "Once upon a time" --show-prompt',
        )
        terminal.run(
            "curl -s localhost:8501/v1/models/stories:predict \\",
            """    -d '{"instances": ["Question: What colour is the sky? Answer:"]}'; echo""",
        )
        save("export.svg", terminal.svg("from a checkpoint to an answer"))
        terminal.run("kill %1; wait")


def chat(folder: Path, variables: Mapping[str, str]) -> None:
    """Two turns with SmolLM2, the second of which needs the first."""
    export_chat_model(folder, variables)
    with served(folder, variables, MODEL), Terminal(folder, variables) as terminal:
        terminal.type(f"genserve chat models/{MODEL}/1 --url {URL}", CHAT_PROMPT)
        terminal.type("What is the capital of France?", CHAT_PROMPT)
        terminal.type("Name three things to see there.", CHAT_PROMPT)
        terminal.run("/quit")
        save("chat.svg", terminal.svg("genserve chat"))


def page(folder: Path, variables: Mapping[str, str]) -> None:
    """The page of the preview server after an answer."""
    export_chat_model(folder, variables)
    with served(folder, variables, MODEL), browser() as chromium:
        answered(chromium)  # The first request compiles: the version has no warmup.
        answered(chromium).screenshot(path=IMAGES / "page.png", full_page=True)
        print("made docs/images/page.png")


def answered(chromium: Any) -> Any:
    """The page with a question and its whole answer."""
    shown = chromium.new_page(viewport={"width": 1100, "height": 900}, color_scheme="light")
    shown.goto(URL)
    shown.wait_for_selector(".pane")
    shown.fill("#prompt", "What are the four seasons of the year?")
    shown.click("#send")
    shown.wait_for_selector("#send:not([disabled])", timeout=300_000)
    return shown


def bench(folder: Path, variables: Mapping[str, str]) -> None:
    """The top of the report that ``genserve bench --html`` writes of a small load."""
    place = folder / "load"
    place.mkdir()
    genserve(
        place, variables, "export", "demo:stories", "models", "--max-new-tokens", "16",
        "--prompt-lengths", "16,32", "--batch-sizes", "1,4",
        "--extra-signatures", "", "--verify", "none", "--target", "cpu",
    )  # fmt: skip
    with served(place, variables, "stories"), browser() as chromium:
        genserve(
            place, variables, "bench", "--url", URL, "--model", "stories", "--manifest", "models/stories/1",
            "--rate", "4", "--requests", "120", "--html", "report.html",
        )  # fmt: skip
        shown = chromium.new_page(viewport={"width": 1100, "height": 720})
        shown.goto((place / "report.html").as_uri())
        shown.screenshot(path=IMAGES / "bench.png")
        print("made docs/images/bench.png")


Make = Callable[[Path, Mapping[str, str]], None]
PICTURES: dict[str, Make] = {"export": export, "chat": chat, "page": page, "bench": bench}


def export_chat_model(folder: Path, variables: Mapping[str, str]) -> None:
    """``models/SmolLM2-135M-Instruct/1``, once."""
    if (folder / "models" / MODEL).exists():
        return
    source = Path(os.environ.get("GENSERVE_REAL_MODELS", "")) / MODEL
    if not (source / "config.json").is_file():
        raise SkippedError(f"no {MODEL} in the directory that GENSERVE_REAL_MODELS names")
    (folder / MODEL).symlink_to(source)
    genserve(
        folder, variables, "export", MODEL, "models", "--max-new-tokens", "96", "--prompt-lengths", "128,384",
        "--batch-sizes", "1", "--extra-signatures", "generate_tokens,resume", "-g", "logprobs=5",
        "--warmup", "none", "--verify", "none", "--target", "cpu",
    )  # fmt: skip


def genserve(folder: Path, variables: Mapping[str, str], *arguments: str) -> None:
    """A step that no picture shows."""
    program = shutil.which("genserve", path=variables["PATH"])
    subprocess.run([str(program), *arguments], cwd=folder, env=variables, check=True)


@contextmanager
def served(folder: Path, variables: Mapping[str, str], model: str) -> Iterator[None]:
    with (folder / "server.log").open("wb") as log:
        program = str(shutil.which("genserve", path=variables["PATH"]))
        command = [program, "serve", "models", "--engine", "preview"]
        process = subprocess.Popen(command, cwd=folder, env=variables, stdout=log, stderr=log)
    try:
        wait_for(model)
        yield
    finally:
        process.terminate()
        process.wait(60)


def wait_for(model: str, seconds: float = 900) -> None:
    """Until the server answers that the model is there."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            status = httpx.get(f"{URL}/v1/models/{model}").json()["model_version_status"]
            if any(version["state"] == "AVAILABLE" for version in status):
                return
        except (httpx.HTTPError, KeyError):
            pass
        time.sleep(0.5)
    raise SkippedError(f"the server had no {model} after {seconds:.0f} s")


@contextmanager
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        raise SkippedError("chromium is not installed")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield chromium
        chromium.close()


def check_ports() -> None:
    """The pictures show genserve's own ports, so nothing else may listen there."""
    for port in (8500, 8501):
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind(("127.0.0.1", port))
            except OSError as error:
                raise SkippedError(f"port {port} is not free") from error


def save(name: str, svg: str) -> None:
    (IMAGES / name).write_text(svg, encoding="utf-8")
    print(f"made docs/images/{name}")


def main() -> int:
    parser = argparse.ArgumentParser(description="Makes the pictures of README and docs/ from real runs.")
    parser.add_argument("pictures", nargs="*", choices=[[], *PICTURES], help="default: all")
    wanted = parser.parse_args().pictures or list(PICTURES)
    skipped = False
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="genserve-pictures-") as name:
        folder = Path(name)
        variables = environment(folder)
        for picture in wanted:
            try:
                check_ports()
                PICTURES[picture](folder, variables)
            except SkippedError as reason:
                skipped = True
                print(f"skipped: {picture}: {reason}", file=sys.stderr)
    return SKIPPED if skipped else 0


if __name__ == "__main__":
    raise SystemExit(main())
