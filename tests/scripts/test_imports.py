"""What an import costs: nothing heavy is loaded before a verb needs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {"tensorflow", "tensorflow_text", "transformers", "torch", "keras"}
#: Module -> what it may not load besides: each costs a start about as much as the command line itself.
LIGHT = {
    "exporter": {"numpy", "grpc", "httpx", "pydantic", "yaml", "rich", "typer"},
    "exporter.choices": {"numpy", "grpc", "httpx", "pydantic", "yaml", "rich", "typer"},
    "exporter.cli": {"numpy", "grpc", "httpx", "pydantic", "yaml"},
    "exporter.client": {"tensorflow_serving", "pydantic", "yaml", "jinja2", "starlette"},
    "exporter.demo": {"numpy", "grpc", "httpx"},
    "exporter.errors": {"numpy", "grpc", "httpx", "pydantic", "yaml", "rich", "typer"},
    "exporter.exporting.plan": {"grpc", "httpx", "starlette"},
    "exporter.options": {"numpy", "grpc", "httpx"},
    "exporter.spec": {"numpy", "grpc", "httpx", "pydantic"},
    "exporter.families": {"grpc", "httpx"},
    "exporter.generation.generation_options": {"numpy", "grpc", "httpx"},
    "exporter.manifest": {"numpy", "grpc", "httpx"},
    "serving_configs": {"numpy", "grpc", "httpx"},
}


@pytest.mark.parametrize("module", LIGHT)
def test_light_import(module: str) -> None:
    """In a fresh process, so that what other tests imported does not count."""
    command = f"import sys, {module}; print(*sorted({HEAVY | LIGHT[module]!r} & set(sys.modules)))"
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
