"""``genserve completion``: what the shells that are here make of its scripts."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ROOT

Complete = Callable[[str], list[str]]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """With this checkout's ``genserve`` on PATH."""
    folder = tmp_path_factory.mktemp("bin")
    program = folder / "genserve"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m exporter "$@"\n')
    program.chmod(0o755)
    return os.environ | {"PATH": f"{folder}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}


def _script(shell: str, environment: dict[str, str]) -> str:
    command = ["genserve", "completion", shell]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout


@pytest.fixture(scope="module")
def complete(environment: dict[str, str]) -> Complete:
    """What bash offers behind a command line, asked in the way that readline asks."""
    script = _script("bash", environment)

    def offered(line: str) -> list[str]:
        words = line.split(" ")
        quoted = " ".join(f'"{word}"' for word in words)
        code = (
            f"{script}\nset -- $(complete -p genserve)\n"  # complete -o default -F FUNCTION genserve
            f'COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; "$5" genserve "{words[-1]}" "{words[-2]}"\n'
            'printf "%s\\n" "${COMPREPLY[@]}"'
        )
        result = subprocess.run(
            ["bash", "-c", code], capture_output=True, text=True, check=True, env=environment
        )
        assert result.stderr == ""
        return result.stdout.split()

    return offered


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("genserve ver", ["verify", "verify-tokenizer", "versions"]),
        ("genserve export demo:stories --dt", ["--dtype"]),
        ("genserve export --dtype b", ["bfloat16"]),
        ("genserve help buc", ["buckets"]),
        ("genserve export mod", []),  # bash's own file names, then
    ],
)
def test_bash(complete: Complete, line: str, offered: list[str]) -> None:
    assert complete(line) == offered


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("genserve ver", ["verify", "verify-tokenizer", "versions"]),
        ("genserve export --dtype b", ["bfloat16"]),
        ("genserve help buc", ["buckets"]),
    ],
)
def test_fish(environment: dict[str, str], line: str, offered: list[str]) -> None:
    code = f"{_script('fish', environment)}\ncomplete --do-complete '{line}'"
    result = subprocess.run(["fish", "-c", code], capture_output=True, text=True, check=True, env=environment)
    # One candidate a line, its description behind a tab.
    assert [each.split("\t")[0] for each in result.stdout.splitlines()] == offered


@pytest.mark.parametrize(("shell", "check"), [("bash", "-n"), ("zsh", "-n"), ("fish", "--no-execute")])
def test_each_shell_has_a_script_and_takes_it(
    shell: str, check: str, environment: dict[str, str], tmp_path: Path
) -> None:
    script = tmp_path / f"genserve.{shell}"
    script.write_text(_script(shell, environment))
    assert f"_GENSERVE_COMPLETE=complete_{shell}" in script.read_text()
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed: whether it takes its script is not seen here")
    result = subprocess.run([shell, check, str(script)], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")


def test_another_shell_is_refused(environment: dict[str, str]) -> None:
    result = subprocess.run(
        ["genserve", "completion", "tcsh"], capture_output=True, text=True, check=False, env=environment
    )
    assert result.returncode == 2
    assert "'tcsh' is not one of 'bash', 'zsh', 'fish'" in result.stderr
