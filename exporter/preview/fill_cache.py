"""Fills the compilation cache and measures: loads every version in a process of its own, replays its warmup.

The real server's cache holds what its warmup compiled; this is the same warmup through the same runtime. How
long it took, and how long a full batch takes afterwards, goes into the versions' manifests: start-up times,
queue lengths and timeouts of the deployment files come from there.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from exporter.choices import Device
from exporter.errors import ServingError
from exporter.manifest import MANIFEST_PATH, Manifest
from serving_configs import xla_cache

CACHE_FOLDER = "xla-cache"
#: Records ask for one token; a full batch is measured with as many as the version allows.
_LONGEST = {"new_tokens": 2**31 - 1}


def warm(output: Path, versions: Sequence[Path], device: Device = "cpu") -> Path:
    """Publishes ``OUT/xla-cache/TENSORFLOW-DEVICE`` with everything that the versions' warmups compile.

    Writes what was measured into the versions' manifests.

    Args:
      output: the export directory.
      versions: version directories to replay, e.g. those that the server will load.

    Raises:
      ServingError: a version cannot be loaded, or its warmup fails.
      OutputError: nothing was compiled.
    """
    root = output / CACHE_FOLDER
    facts = xla_cache.machine_facts(device)
    scratch = root / f".filling-{os.getpid()}"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    flags = f"{os.environ.get('TF_XLA_FLAGS', '')} --tf_xla_persistent_cache_directory={scratch}".strip()
    environment = os.environ | {"TF_XLA_FLAGS": flags}
    if device == "cpu":
        environment["CUDA_VISIBLE_DEVICES"] = "-1"
    try:
        process = subprocess.run(
            [sys.executable, "-m", "exporter.preview.fill_cache", *map(str, versions)],
            env=environment,
            capture_output=True,
            text=True,
        )
        if process.returncode:
            reason = process.stderr.strip().splitlines()[-1:] or ["no message"]
            raise ServingError(f"the warmup failed: {reason[0]}")
        cache = xla_cache.publish(scratch, root, facts)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    for directory, line in zip(versions, process.stdout.splitlines()[-len(versions) :], strict=True):
        _record(directory, device, **json.loads(line))
    return cache


def _record(directory: Path, device: Device, *, seconds: float, batch_seconds: float | None) -> None:
    """Notes the measured times in a version's manifest, where it has one."""
    if not (directory / MANIFEST_PATH).exists():
        return
    manifest = Manifest.read(directory)
    measured = {"seconds": round(seconds, 3), "batch_seconds": batch_seconds, "device": device}
    if batch_seconds is not None:
        measured["batch_seconds"] = round(batch_seconds, 6)
    warmup = manifest.warmup.model_copy(update=measured)
    manifest.model_copy(update={"warmup": warmup}).write(directory)


def _replay(directories: Sequence[Path]) -> None:
    """Prints a line of JSON for each version: what was measured."""
    from exporter.preview import replay
    from exporter.preview.servable import Servable

    lines = []
    for directory in directories:
        started = time.monotonic()
        servable = Servable(directory.parent.name, int(directory.name), directory)
        replay.replay(servable)
        seconds = time.monotonic() - started
        lines.append(
            json.dumps({"seconds": seconds, "batch_seconds": replay.slowest_batch(servable, _LONGEST)})
        )
    print("\n".join(lines))


if __name__ == "__main__":
    _replay([Path(argument) for argument in sys.argv[1:]])
