"""The preview server and the compilation cache: every cache that does not fit is logged and left alone."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from serving_configs import xla_cache
from tests.conftest import ROOT

#: What ``serve`` does before it loads TensorFlow.
USE = """
import logging, os, sys
from pathlib import Path
logging.basicConfig(level=logging.INFO, stream=sys.stdout)
from exporter import preview
preview._use_cache(Path(sys.argv[1]))
print("flags:", os.environ.get("TF_XLA_FLAGS"))
"""


def published(root: Path) -> Path:
    """A cache of this machine with two entries."""
    scratch = root.parent / "scratch"
    scratch.mkdir()
    (scratch / "one.pb").write_bytes(b"\x00program" * 100)
    (scratch / "two.pb").write_bytes(b"second")
    return xla_cache.publish(scratch, root, xla_cache.machine_facts("cpu"))


def use(root: Path) -> str:
    variables = {name: value for name, value in os.environ.items() if name != "TF_XLA_FLAGS"}
    arguments = [sys.executable, "-c", USE, str(root)]
    return subprocess.run(
        arguments, cwd=ROOT, env=variables, capture_output=True, text=True, check=True
    ).stdout


def fact(name: str) -> Callable[[Path], None]:
    """Makes the manifest name another machine's fact."""

    def change(directory: Path) -> None:
        path = directory / xla_cache.MANIFEST
        lines = [
            f"# {name}=other" if line.startswith(f"# {name}=") else line
            for line in path.read_text().splitlines()
        ]
        path.write_text("\n".join(lines) + "\n")

    return change


def truncated(directory: Path) -> None:
    path = directory / "one.pb"
    path.write_bytes(path.read_bytes()[:-1])


def emptied(directory: Path) -> None:
    (directory / "one.pb").write_bytes(b"")


def without_manifest(directory: Path) -> None:
    (directory / xla_cache.MANIFEST).unlink()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (fact("tensorflow"), "compiled for another tensorflow"),
        (fact("cpu"), "compiled for another cpu"),
        (truncated, "a file is damaged"),
        (emptied, "a file is damaged"),
        (without_manifest, "no manifest"),
    ],
    ids=["other version", "other cpu", "truncated", "empty", "no manifest"],
)
def test_a_cache_that_does_not_fit_is_left_alone(
    tmp_path: Path, change: Callable[[Path], None], reason: str
) -> None:
    change(published(tmp_path / "xla-cache"))
    output = use(tmp_path / "xla-cache")
    assert "flags: None" in output
    assert "is not used" in output
    assert reason in output


def test_a_read_only_cache_is_used(tmp_path: Path) -> None:
    """It is opened read-only anyway: a mounted folder that nobody may write is as good."""
    directory = published(tmp_path / "xla-cache")
    for path in (*directory.iterdir(), directory, directory.parent):
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        output = use(tmp_path / "xla-cache")
    finally:
        for path in (directory.parent, directory):
            path.chmod(0o755)
    assert f"flags: {xla_cache.flags(directory)}" in output
    assert "read_only=true" in xla_cache.flags(directory)
