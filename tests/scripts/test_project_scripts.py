"""The scripts a newcomer runs: they parse, find a Python, and name no path of the machine they ran on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

BASH = [
    ROOT / ".ci" / "run",
    *(ROOT / "scripts" / name for name in ("test", "demo", "fetch_test_data", "environment.sh")),
]


@pytest.mark.parametrize("script", BASH, ids=lambda path: path.name)
def test_bash_parses(script: Path) -> None:
    assert subprocess.run(["bash", "-n", script], check=False).returncode == 0
    text = script.read_text()
    if script.name != "environment.sh":
        assert text.startswith("#!/usr/bin/env bash\n")
        assert "set -euo pipefail" in text
        assert os.access(script, os.X_OK)


@pytest.mark.parametrize("script", BASH, ids=lambda path: path.name)
def test_no_absolute_home(script: Path) -> None:
    assert str(ROOT) not in script.read_text()


def _bash(command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a command after sourcing environment.sh from another working directory."""
    script = f'set -euo pipefail; source "{ROOT / "scripts" / "environment.sh"}"; {command}'
    return subprocess.run(
        ["bash", "-c", script],
        cwd="/",
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def _fake(directory: Path, name: str, body: str) -> None:
    path = directory / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def test_a_python_that_does_not_run_is_passed_over(tmp_path: Path) -> None:
    """Version managers put shims on PATH for versions that are not installed."""
    _fake(tmp_path, "python3.13", "echo 'not installed' >&2; exit 127")
    _fake(tmp_path, "python3.12", f'exec "{sys.executable}" "$@"')
    result = _bash("find_python", PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert result.stdout.strip() == str(tmp_path / "python3.12")


def test_no_python_is_a_clear_error() -> None:
    result = _bash("find_python", GENSERVE_PYTHON="no-such-python")
    assert result.returncode == 1
    assert "Python 3.11, 3.12 or 3.13" in result.stderr


def test_environment_is_kept_until_its_stamp_changes(tmp_path: Path) -> None:
    """A fake Python records what is installed: once per stamp, and again after a failed attempt."""
    _fake(
        tmp_path,
        "fake-python",
        'if [ "$2" = venv ]; then mkdir -p "$3/bin"; cp "$0" "$3/bin/python"; fi\n'
        f'if [ "$2" = pip ]; then echo "$@" >>{tmp_path}/installs; [ ! -e {tmp_path}/broken ]; fi',
    )

    def make(stamp: str) -> int:
        """The exit code of make_environment."""
        command = f"make_environment {tmp_path}/env {stamp} --editable ."
        return _bash(command, GENSERVE_PYTHON=str(tmp_path / "fake-python")).returncode

    assert make("one") == 0
    assert make("one") == 0
    (tmp_path / "broken").touch()
    assert make("two") != 0
    (tmp_path / "broken").unlink()
    assert make("two") == 0
    assert len((tmp_path / "installs").read_text().splitlines()) == 3


@pytest.mark.parametrize("code", [0, 1])
def test_pip_is_heard_only_where_it_fails(tmp_path: Path, code: int) -> None:
    """Then with everything it said, on both streams."""
    _fake(
        tmp_path,
        "fake-python",
        'if [ "$2" = venv ]; then mkdir -p "$3/bin"; cp "$0" "$3/bin/python"; fi\n'
        f'if [ "$2" = pip ]; then echo collecting; echo "WARNING: a mirror" >&2; exit {code}; fi',
    )
    result = _bash(f"make_environment {tmp_path}/env one .", GENSERVE_PYTHON=str(tmp_path / "fake-python"))
    assert result.returncode == code
    assert result.stdout.splitlines() == [f"== environment {tmp_path}/env (minutes, the first time)"]
    assert result.stderr.splitlines() == (["collecting", "WARNING: a mirror"] if code else [])


def test_lowest_versions() -> None:
    script = [sys.executable, str(ROOT / "scripts" / "lowest_versions.py")]
    pins = subprocess.run(
        [*script, str(ROOT / "pyproject.toml")], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert "tensorflow==2.19" in pins
    assert all(pin.count("==") == 1 for pin in pins)


def test_lowest_versions_wants_bounds(tmp_path: Path) -> None:
    project = tmp_path / "pyproject.toml"
    project.write_text('[project]\ndependencies = ["numpy"]\n')
    result = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "lowest_versions.py"), str(project)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert "numpy: needs exactly one lower bound" in result.stderr
