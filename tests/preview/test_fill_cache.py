"""The compilation cache, filled from the warmup and used by a server."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from exporter.errors import OutputError, ServingError
from exporter.manifest import Manifest
from exporter.preview.fill_cache import warm
from serving_configs import xla_cache
from tests.conftest import ROOT
from tests.preview import toys
from tests.serving_configs.manifests import manifest

USE = """
import logging, os, sys
from pathlib import Path
logging.basicConfig(level=logging.INFO, stream=sys.stdout)
from exporter import preview
preview._use_cache(Path(sys.argv[2]))
print("flags:", os.environ.get("TF_XLA_FLAGS"))
from exporter.preview import PreviewServer, ServerConfig
from exporter.client import RestClient
config = ServerConfig(model_name="toy", model_base_path=Path(sys.argv[1]), rest_port=0, grpc_port=None)
with PreviewServer(config) as s:
    print(RestClient(s.rest_url, "toy").predict("compiled", {"x": [[1, 0, 0]]})["y"].tolist())
"""


def use(base: Path, root: Path) -> str:
    result = subprocess.run(
        [sys.executable, "-c", USE, str(base), str(root)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={name: value for name, value in os.environ.items() if name != "TF_XLA_FLAGS"},
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.end_to_end
def test_a_cache_is_filled_published_and_used(own_versions: Path, tmp_path: Path) -> None:
    toys.write_warmup(own_versions / "2", [("compiled", {"x": [[1.0, 2.0, 3.0]] * rows}) for rows in (1, 4)])
    directory = warm(tmp_path, [own_versions / "2"])
    assert directory == tmp_path / "xla-cache" / xla_cache.machine_facts("cpu").folder
    entries = sorted(path.name for path in directory.iterdir())
    assert len(entries) == 3  # two shapes and the manifest
    assert [path.name for path in (tmp_path / "xla-cache").iterdir()] == [directory.name]
    output = use(own_versions, tmp_path / "xla-cache")
    assert f"flags: {xla_cache.flags(directory)}" in output
    assert "using compilation cache" in output
    assert "[[0.0, 1.0]]" in output
    assert sorted(path.name for path in directory.iterdir()) == entries
    # A damaged entry is noticed, and the server answers all the same.
    damaged = next(path for path in directory.iterdir() if path.name != xla_cache.MANIFEST)
    damaged.write_bytes(damaged.read_bytes()[:-10])
    output = use(own_versions, tmp_path / "xla-cache")
    assert "is not used: a file is damaged" in output
    assert "flags: None" in output
    assert "[[0.0, 1.0]]" in output


def test_a_failing_warmup_publishes_nothing(own_versions: Path, tmp_path: Path) -> None:
    toys.write_warmup(own_versions / "2", [("serving_default", {"text": ["boom"]})])
    with pytest.raises(ServingError, match=r"the warmup failed: .*boom is refused"):
        warm(tmp_path, [own_versions / "2"])
    assert list((tmp_path / "xla-cache").iterdir()) == []


def test_a_warmup_that_compiles_nothing(own_versions: Path, tmp_path: Path) -> None:
    toys.write_warmup(own_versions / "2", [("copy", {"text": ["a"]})])
    with pytest.raises(OutputError, match="the warmup compiled nothing"):
        warm(tmp_path, [own_versions / "2"])


def test_what_was_measured_stands_in_the_manifest(own_versions: Path, tmp_path: Path) -> None:
    """The slowest full batch counts, compiled: "slow" works as many steps as it is told."""
    version = own_versions / "2"
    manifest("toy", 2).write(version)
    toys.write_warmup(
        version,
        [
            ("compiled", {"x": [[1.0, 2.0, 3.0]] * 4}),
            ("slow", {"steps": np.full([4], 200_000, np.int32)}),
            ("slow", {"steps": np.full([1], 2_000_000, np.int32)}),
        ],
    )
    warm(tmp_path, [version])
    measured = Manifest.read(version).warmup
    assert measured.device == "cpu"
    assert measured.records == manifest("toy", 2).warmup.records
    assert measured.seconds is not None
    assert measured.batch_seconds is not None
    # The single row takes ten times as long as the full batch, and is not one.
    assert 0 < measured.batch_seconds < measured.seconds / 2
