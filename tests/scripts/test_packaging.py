"""What a user installs: light imports, and a wheel with every file that is needed at run time."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from exporter.demo import DEMOS
from tests.conftest import ROOT

HEAVY = {"tensorflow", "tensorflow_text", "transformers", "torch", "keras"}
LIGHT = [
    "exporter",
    "exporter.cli",
    "exporter.demo",
    "exporter.errors",
    "exporter.options",
    "exporter.spec",
    "exporter.families",
    "exporter.generation.generation_options",
    "exporter.manifest",
    "serving_configs",
]


@pytest.mark.parametrize("module", LIGHT)
def test_light_import(module: str) -> None:
    """In a fresh process, so that what other tests imported does not count."""
    command = f"import sys, {module}; print(*sorted({HEAVY!r} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
    assert result.stdout.split() == []


def test_help_runs_without_the_heavy_packages(tmp_path: Path) -> None:
    for name in HEAVY:
        (tmp_path / f"{name}.py").write_text(f"raise ImportError('{name} was imported')")
    command = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); sys.argv = ['genserve', '--help']; " + (
        "from exporter.cli import main; main()"
    )
    result = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "export" in result.stdout


@pytest.fixture(scope="module")
def wheel_names(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    builder = pytest.importorskip("hatchling.builders.wheel")
    directory = tmp_path_factory.mktemp("wheel")
    (built,) = builder.WheelBuilder(str(ROOT)).build(directory=str(directory), versions=["standard"])
    with zipfile.ZipFile(built) as archive:
        return set(archive.namelist())


@pytest.mark.parametrize("package", ["exporter", "serving_configs"])
def test_wheel_holds_every_file_of_both_packages(wheel_names: set[str], package: str) -> None:
    """Templates and data too: whatever git tracks in a package."""
    tracked = subprocess.run(
        ["git", "ls-files", package], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert tracked
    assert {path for path in tracked if (ROOT / path).is_file()} <= wheel_names


def test_wheel_holds_the_demos_and_the_command(wheel_names: set[str]) -> None:
    assert {f"exporter/demo/{name}/model.safetensors" for name in DEMOS} <= wheel_names
    assert any(name.endswith("dist-info/entry_points.txt") for name in wheel_names)
    assert not any(name.startswith(("tests/", "scripts/")) for name in wheel_names)
