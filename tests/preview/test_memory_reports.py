"""XLA's figures of memory: read from its reports, and true of a process that runs the program."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from exporter.exporting.pipeline import export
from exporter.manifest import Manifest
from exporter.options import make_options
from exporter.preview.fill_cache import warm
from serving_configs import xla_cache
from tests.conftest import ROOT

_TOY = """
import sys
from pathlib import Path
import tensorflow as tf
from exporter.preview.memory_reports import take_largest

@tf.function(jit_compile=True)
def similar(x):
    return tf.matmul(tf.nn.softmax(tf.matmul(x, x, transpose_b=True)), x)

for rows in (256, 512):
    similar(tf.ones([rows, 32]))
    print(*vars(take_largest(Path(sys.argv[1]))).values())
print(take_largest(Path(sys.argv[1])))
"""

# The peak of the resident set after the records of at most so many rows.
_PEAK = """
import resource, sys
from pathlib import Path
from exporter.preview import replay
from exporter.preview.servable import Servable

directory, most = Path(sys.argv[1]), int(sys.argv[2])
servable = Servable("stories", 1, directory)
for record in replay._records(directory / replay.WARMUP_PATH):
    request = replay._request(servable, record, directory)
    if "program" in request[1] and len(request[1]["program"]) <= most:
        servable.predict(*request)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def _run(code: str, *arguments: Path | int, **environment: str) -> list[str]:
    result = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=os.environ | environment,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


def test_a_report_holds_arguments_results_and_temporaries(tmp_path: Path) -> None:
    """rows x 32 floats in and out; between them the scores, rows x rows."""
    *lines, last = _run(_TOY, tmp_path, XLA_FLAGS=f"--xla_dump_to={tmp_path}")
    for rows, line in zip((256, 512), lines, strict=True):
        arguments, results, temporaries = map(int, line.split())
        assert arguments == results == rows * 32 * 4
        assert rows * rows * 4 <= temporaries <= rows * rows * 4 * 1.1
    assert last == "None"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.full
def test_what_is_planned_for_a_bucket_is_what_a_process_takes(tmp_path: Path) -> None:
    """Programs come from the cache, so compiling takes no memory: what a large bucket adds is its own."""
    options = {
        "model": "demo:stories",
        "tokenizer": "none",
        "prompt_lengths": [200],
        "batch_sizes": [1, 96],
        "max_new_tokens": 4,
    }
    version = export(make_options(options), tmp_path).directory
    cache = warm(tmp_path, [version])
    memory = Manifest.read(version).warmup.memory
    assert {(found.program, found.batch_size, found.prompt_length) for found in memory} == {
        (0, rows, 200) for rows in (1, 96)
    }
    small, large = sorted(found.temporary_bytes + found.result_bytes for found in memory)
    peaks = [int(_run(_PEAK, version, rows, TF_XLA_FLAGS=xla_cache.flags(cache))[-1]) for rows in (1, 96)]
    planned, taken = large - small, peaks[1] - peaks[0]
    assert planned > 20_000_000
    # Besides its buffers a program takes its own code.
    assert 0.9 * planned <= taken <= 1.3 * planned + 100_000_000, (planned, taken)
