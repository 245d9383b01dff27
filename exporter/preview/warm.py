"""Fills the compilation cache: loads every version in a process of its own, replays its warmup, publishes.

The real server's cache holds what its warmup compiled; this is the same warmup through the same runtime.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from exporter.errors import ServingError
from serving_configs import xla_cache
from serving_configs.flags import Device

CACHE_FOLDER = "xla-cache"


def warm(output: Path, versions: Sequence[Path], device: Device = "cpu") -> Path:
    """Publishes ``OUT/xla-cache/TENSORFLOW-DEVICE`` with everything that the versions' warmups compile.

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
            [sys.executable, "-m", "exporter.preview.warm", *map(str, versions)],
            env=environment,
            capture_output=True,
            text=True,
        )
        if process.returncode:
            reason = process.stderr.strip().splitlines()[-1:] or ["no message"]
            raise ServingError(f"the warmup failed: {reason[0]}")
        return xla_cache.publish(scratch, root, facts)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _replay(directories: Sequence[Path]) -> None:
    from exporter.preview import warmup
    from exporter.preview.servable import Servable

    for directory in directories:
        warmup.replay(Servable(directory.parent.name, int(directory.name), directory))


if __name__ == "__main__":
    _replay([Path(argument) for argument in sys.argv[1:]])
