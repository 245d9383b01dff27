"""``genserve --version``: alone, and as JSON with the versions that matter."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from importlib import metadata

from exporter import __version__
from exporter.cli.installed import PACKAGES
from scripts.make_licences import asked_for
from tests.cli.documented import documented_keys
from tests.conftest import ROOT


def _said(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "exporter", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


def test_as_json() -> None:
    result = _said("--version", "--json")
    assert (result.returncode, result.stderr) == (0, "")
    answer = json.loads(result.stdout)
    assert set(answer) == documented_keys("--version")
    assert (answer["genserve"], answer["python"]) == (__version__, platform.python_version())
    assert answer["packages"]["grpcio"] == metadata.version("grpcio")
    assert answer["packages"]["transformers"] == metadata.version("transformers")
    assert set(answer["packages"]) <= set(PACKAGES)


def test_alone_and_with_json_in_the_wrong_place() -> None:
    assert _said("--version").stdout == f"genserve {__version__}\n"
    result = _said("--json", "warm", "out")
    assert result.returncode == 2
    assert result.stderr == "error: --json stands behind the verb, or goes with --version\n"


def test_every_direct_dependency_is_asked_for() -> None:
    assert list(PACKAGES) == list(asked_for())
