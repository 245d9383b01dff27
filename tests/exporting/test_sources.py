"""What a version says of where it came from, and names that two sources would share."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from exporter.checkpoint.files import INDEX, WEIGHTS
from exporter.errors import OutputError
from exporter.exporting.plan import plan_export
from exporter.manifest import Manifest
from exporter.options import make_options
from tests.checkpoint.fake_hub import Hub, index, running
from tests.reference import random_gpt2

pytestmark = pytest.mark.end_to_end
SMALLEST = (
    *("--tokenizer", "none", "--prompt-lengths", "8", "--batch-sizes", "1", "--max-new-tokens", "2"),
    *("--warmup", "none", "--verify", "none", "--extra-signatures", ""),
)


def export(environment: dict[str, str], *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "exporter", "export", *map(str, arguments), *SMALLEST],
        env={**os.environ, **environment, "COLUMNS": "400"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_version_names_its_commit_and_refuses_another_source(tmp_path: Path) -> None:
    random_gpt2(tmp_path / "tiny")
    files = {file.name: file.read_bytes() for file in (tmp_path / "tiny").iterdir()}
    files[INDEX] = index("gone.safetensors")
    with running(Hub(repositories={"them/tiny": files})) as hub:
        environment, out = hub.environment(tmp_path / "cache"), tmp_path / "out"
        first = export(environment, "them/tiny", out, "--revision", "main")
        assert first.returncode == 0, first.stderr
        note = f"weights are read from {WEIGHTS}, as in transformers; not from {INDEX}"
        assert f"note: {note}" in first.stdout
        manifest = Manifest.read(out / "tiny" / "1")
        assert (manifest.model.source, manifest.model.revision) == ("them/tiny", hub.commit)
        assert note in manifest.notes

    # The same name, derived from another source.
    local = str(tmp_path / "tiny")
    with pytest.raises(
        OutputError, match=f"version 1 in .* was exported from them/tiny, and this is {local}"
    ):
        plan_export(make_options({"model": local}), out)
    assert plan_export(make_options({"model": local, "name": "tiny"}), out).version == 2
    assert plan_export(make_options({"model": local, "name": "other"}), out).version == 1
