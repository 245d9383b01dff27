"""Fills the compilation cache and measures: loads every version in a process of its own, replays its warmup.

The real server's cache holds what its warmup compiled; this is the same warmup through the same runtime. How
long it took, how long a full batch takes afterwards and how much memory XLA gave each program goes into the
versions' manifests: start-up times, queue lengths, timeouts and the memory plan come from there.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from exporter.choices import Device
from exporter.errors import ServingError
from exporter.manifest import MANIFEST_PATH, WARM_UP, Manifest, WarmupInfo
from exporter.preview import memory_reports
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
    dumps = Path(tempfile.mkdtemp(prefix="genserve-xla-"))
    environment = os.environ | {
        "TF_XLA_FLAGS": _with("TF_XLA_FLAGS", f"--tf_xla_persistent_cache_directory={scratch}"),
        "XLA_FLAGS": _with("XLA_FLAGS", f"{memory_reports.FLAG}{dumps}"),
    }
    if device == "cpu":
        environment["CUDA_VISIBLE_DEVICES"] = "-1"
    try:
        process = subprocess.run(
            [sys.executable, "-m", "exporter.preview.fill_cache", str(dumps), *map(str, versions)],
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
        shutil.rmtree(dumps, ignore_errors=True)
    for directory, line in zip(versions, process.stdout.splitlines()[-len(versions) :], strict=True):
        _record(directory, device, json.loads(line))
    return cache


def _with(variable: str, flag: str) -> str:
    """A variable of the environment with one more flag."""
    return f"{os.environ.get(variable, '')} {flag}".strip()


def _record(directory: Path, device: Device, measured: dict[str, Any]) -> None:
    """Notes what was measured in a version's manifest, where it has one."""
    if not (directory / MANIFEST_PATH).exists():
        return
    manifest = Manifest.read(directory)
    warmup = WarmupInfo.model_validate({**measured, "records": manifest.warmup.records, "device": device})
    manifest.model_copy(update={"warmup": warmup}).write(directory)


def _replay(dumps: Path, directories: Sequence[Path]) -> None:
    """Prints a line of JSON for each version: the fields of WarmupInfo that were measured."""
    from exporter.preview import replay
    from exporter.preview.servable import Servable

    for directory in directories:
        started = time.monotonic()
        servable = Servable(directory.parent.name, int(directory.name), directory)
        buckets: list[dict[str, int]] = []
        replay.replay(servable, partial(_note_memory, dumps, buckets))
        seconds = time.monotonic() - started
        batch = replay.slowest_batch(servable, _LONGEST)
        measured = {
            "seconds": round(seconds, 3),
            "batch_seconds": None if batch is None else round(batch, 6),
            "memory": buckets,
        }
        print(json.dumps(measured))


def _note_memory(dumps: Path, buckets: list[dict[str, int]], name: str, tensors: Mapping[str, Any]) -> None:
    """The memory of the program that a record of ``warm_up`` has compiled."""
    memory = memory_reports.take_largest(dumps)
    if name != WARM_UP or memory is None:
        return
    program, length = (int(tensors[key][0]) for key in ("program", "prompt_tokens"))
    buckets.append(
        {
            "program": program,
            "prompt_length": length,
            "batch_size": len(tensors["program"]),
            "temporary_bytes": memory.temporaries,
            "result_bytes": memory.results,
        }
    )


if __name__ == "__main__":
    _replay(Path(sys.argv[1]), [Path(argument) for argument in sys.argv[2:]])
