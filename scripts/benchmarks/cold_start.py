"""From the start of loading to ready: a version through the preview server, without and with the XLA cache.

    python -m scripts.benchmarks.cold_start demo:stories --prompt-lengths 32,128 --batch-sizes 1,8

Exports the model, then loads and warms it up in a process of its own for every trial: without warmup (what
loading the SavedModel alone takes), with warmup and no cache, and with the cache of ``genserve warm``.
TensorFlow's own log tells how long each compilation took; with the cache that is what is not cached: lowering
the graph to HLO, and reading the compiled program.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exporter.manifest import Manifest
from scripts.benchmarks import machine

#: device_compilation_profiler.cc logs this at verbosity 1, once per program and shape.
_COMPILED = re.compile(r"Compiled \S+ \d+ times, compile time: (\d+) us")

_CHILD = """
import json, sys, time
from pathlib import Path
from exporter import preview
name, base, warmup, cache = sys.argv[1:]
if cache:
    preview._use_cache(Path(cache))
from exporter.preview import PreviewServer, ServerConfig
import tensorflow_text
config = ServerConfig(model_name=name, model_base_path=Path(base), rest_port=0, grpc_port=None,
                      enable_model_warmup=warmup == "warm", poll_seconds=0)
started = time.perf_counter()
with PreviewServer(config):
    print(json.dumps(time.perf_counter() - started))
"""


@dataclass(frozen=True)
class Row:
    """One way to start: medians over the trials.

    Attributes:
      way: "load only", "no cache" or "cache".
      ready: seconds from the start of loading (TensorFlow is imported) to AVAILABLE.
      compiling: seconds of these that TensorFlow spent in compilations, lowering included.
      compilations: how many.
    """

    way: str
    ready: float
    compiling: float
    compilations: int


def cold_start(version: Path, *, cache: Path, trials: int = 3, threads: int = 2) -> list[Row]:
    """Starts a version directory each way.

    Args:
      version: OUT/NAME/VERSION, with warmup records.
      cache: the cache root that ``genserve warm`` filled for it.
      trials: starts per way.
      threads: of TensorFlow.
    """
    ways = {"load only": ("cold", ""), "no cache": ("warm", ""), "cache": ("warm", str(cache))}
    return [_row(way, [_start(version, *how, threads) for _ in range(trials)]) for way, how in ways.items()]


def _row(way: str, starts: list[tuple[float, list[int]]]) -> Row:
    return Row(
        way=way,
        ready=statistics.median(ready for ready, _ in starts),
        compiling=statistics.median(sum(times) for _, times in starts) / 1e6,
        compilations=len(starts[0][1]),
    )


def _start(version: Path, warmup: str, cache: str, threads: int) -> tuple[float, list[int]]:
    """Seconds to ready, and the microseconds of every compilation, of one process."""
    environment = {name: value for name, value in os.environ.items() if name != "TF_XLA_FLAGS"} | {
        "TF_CPP_MIN_LOG_LEVEL": "0",
        "TF_CPP_VMODULE": "device_compilation_profiler=1",
        "CUDA_VISIBLE_DEVICES": "-1",
        "OMP_NUM_THREADS": str(threads),
        "TF_NUM_INTRAOP_THREADS": str(threads),
        "TF_NUM_INTEROP_THREADS": str(threads),
    }
    arguments = [version.parent.name, str(version.parent), warmup, cache]
    process = subprocess.run(
        [sys.executable, "-c", _CHILD, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if process.returncode:
        raise RuntimeError(f"the preview server did not start: {process.stderr[-1000:]}")
    times = [int(time) for time in _COMPILED.findall(process.stderr)]
    return float(json.loads(process.stdout.splitlines()[-1])), times


def report(rows: list[Row]) -> str:
    """A table, and what the cache brings."""
    by_way = {row.way: row for row in rows}
    lines = [f"{'':10} {'ready s':>8} {'compiling s':>12} {'compilations':>13}"]
    lines += [f"{r.way:10} {r.ready:8.2f} {r.compiling:12.2f} {r.compilations:13}" for r in rows]
    without, cached, load = by_way["no cache"], by_way["cache"], by_way["load only"]
    lines.append(f"with the cache {without.ready / cached.ready:.1f} x faster (target: 2)")
    lines.append(
        f"of its {cached.ready:.2f} s: loading {load.ready:.2f}, lowering and reading programs "
        f"{cached.compiling:.2f}, the requests themselves {cached.ready - load.ready - cached.compiling:.2f}"
    )
    return "\n".join(lines)


def prepare(values: dict[str, Any], output: Path) -> Path:
    """Exports a model and fills its cache; returns the version directory. A version is taken as it is."""
    from exporter.exporting.pipeline import export
    from exporter.manifest import MANIFEST_PATH
    from exporter.options import make_options
    from exporter.preview.fill_cache import CACHE_FOLDER, warm

    version = Path(values["model"])
    if not (version / MANIFEST_PATH).exists():
        options = make_options({key: value for key, value in values.items() if value is not None})
        version = export(options, output).directory
    if not (version.parent.parent / CACHE_FOLDER).is_dir():
        warm(version.parent.parent, [version])
    return version


def main() -> None:
    """Prepares, measures and prints."""
    from exporter.cli.values import integers
    from exporter.preview.fill_cache import CACHE_FOLDER

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model", help="a model to export, or a version directory OUT/NAME/VERSION")
    parser.add_argument("--prompt-lengths")
    parser.add_argument("--batch-sizes", default="1,8")
    parser.add_argument("--max-new-tokens", type=int, default=64)
    parser.add_argument("--trials", type=int, default=3)
    chosen = parser.parse_args()
    values = {
        "model": chosen.model,
        "prompt_lengths": integers("prompt_lengths", chosen.prompt_lengths),
        "batch_sizes": integers("batch_sizes", chosen.batch_sizes),
        "max_new_tokens": chosen.max_new_tokens,
    }
    print("python -m scripts.benchmarks.cold_start", *sys.argv[1:])
    print(json.dumps(machine.describe()))
    with tempfile.TemporaryDirectory() as folder:
        version = prepare(values, Path(folder))
        graph = (version / "saved_model.pb").stat().st_size
        print(f"{Manifest.read(version).warmup.records} warmup records, graph {graph / 1e6:.2f} MB")
        print(report(cold_start(version, cache=version.parent.parent / CACHE_FOLDER, trials=chosen.trials)))


if __name__ == "__main__":
    main()
