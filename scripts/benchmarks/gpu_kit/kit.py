"""``python -m scripts.benchmarks gpu-kit DIR``: writes the kit.

    DIR/index.json      the cases in order of value, with every parameter's meaning, dtype and shape
    DIR/NAME.hlo.gz     a case's program: a serialized HloModuleProto
    DIR/demo.npz        the demo's parameters p0, p1, ... and, by their names, the SavedModel's outputs
    DIR/run.py          runs it: jax, numpy, torch and transformers are all that it needs

``DIR/tiny/`` has the same cases with two layers of 64 features, for ``run.py --rehearse`` on a CPU.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import shutil
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console

from scripts.benchmarks.gpu_kit.cases import CASES, Case, tiny_cases

LIMIT = 40 << 20
RUNNER = Path(__file__).with_name("run.py")


class KitTooLargeError(Exception):
    """What was written is more than a kit may be."""


def main(arguments: list[str]) -> int:
    """Writes the kit; 1 when it would be too large."""
    parser = argparse.ArgumentParser(prog="python -m scripts.benchmarks gpu-kit", description=__doc__)
    parser.add_argument("directory", type=Path, metavar="DIR")
    directory: Path = parser.parse_args(arguments).directory
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")  # nothing runs here
    console = Console(highlight=False)
    try:
        size = write_kit(directory, CASES, tiny_cases(), say=lambda line: console.print(line, markup=False))
    except KitTooLargeError as error:
        console.print(str(error), markup=False)
        return 1
    console.print(
        f"{directory}: {size / 2**20:.1f} MiB; python {directory}/run.py on the machine with the GPU"
    )
    return 0


def write_kit(
    directory: Path, cases: Iterable[Case], tiny: Iterable[Case] = (), *, limit: int = LIMIT, say: Any = print
) -> int:
    """Writes demo, cases and runner; returns the bytes of the folder.

    Raises:
      KitTooLargeError: they are more than ``limit``.
    """
    directory.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(RUNNER, directory / "run.py")
    demo = write_demo(directory)
    _write_cases(directory, demo, cases, limit, say)
    if tiny := tuple(tiny):
        (directory / "tiny").mkdir(exist_ok=True)
        for name in ("demo.npz", f"{demo['name']}.hlo.gz"):
            shutil.copyfile(directory / name, directory / "tiny" / name)
        _write_cases(directory / "tiny", demo, tiny, limit, say)
    return _checked(directory, limit)


def _write_cases(directory: Path, demo: dict[str, Any], cases: Iterable[Case], limit: int, say: Any) -> None:
    from scripts.benchmarks.gpu_kit.programs import trace_case

    entries = [demo]
    for case in dict.fromkeys(cases):
        traced, facts = trace_case(case)
        entries.append(_entry(case, traced, facts))
        size = _write_hlo(directory, case.name, traced.hlo)
        say(f"{case.name}: {size / 2**20:.2f} MiB of {len(traced.hlo) / 2**20:.1f} MiB")
        _checked(directory, limit)
    index = {"versions": {name: version(name) for name in ("genserve", "tensorflow")}, "cases": entries}
    (directory / "index.json").write_text(json.dumps(index, indent=1), encoding="utf-8")


def _entry(case: Case, traced: Any, facts: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": case.name,
        "model": case.model,
        "dtype": case.dtype,
        "weights": case.weights,
        "strategy": case.strategy,
        "batch": case.batch,
        "prompt": case.prompt,
        "new_tokens": case.new_tokens,
        "config": case.config,
        **facts,
        "parameters": traced.parameters,
        "outputs": traced.outputs,
    }


def _write_hlo(directory: Path, name: str, hlo: bytes) -> int:
    packed = gzip.compress(hlo, mtime=0)
    (directory / f"{name}.hlo.gz").write_bytes(packed)
    return len(packed)


def _checked(directory: Path, limit: int) -> int:
    size = sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
    if size > limit:
        raise KitTooLargeError(f"{directory} holds {size:,} bytes; a kit has at most {limit:,}")
    return size


def write_demo(directory: Path) -> dict[str, Any]:
    """The demo checkpoint's program with its weights, and what an exported version answers; its entry."""
    from scripts.benchmarks.gpu_kit.demo import make_demo

    demo = make_demo()
    _write_hlo(directory, demo.entry["name"], demo.hlo)
    import numpy as np

    np.savez_compressed(directory / "demo.npz", **demo.arrays)
    return demo.entry
