"""XLA's figures of memory: read from its reports, and true of a process that runs the program."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from exporter.deployment import write_serving_configs
from exporter.exporting.pipeline import export
from exporter.manifest import Manifest
from exporter.options import make_options
from exporter.preview.fill_cache import warm
from serving_configs import ServingOptions, xla_cache
from serving_configs.gpu_memory import planned_bytes
from tests.conftest import ROOT
from tests.preview.test_load import serving

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


def _llama(directory: Path) -> Path:
    """34 million random weights; a token's keys and values take 32 KiB."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=512,
        intermediate_size=2048,
        num_hidden_layers=8,
        num_attention_heads=8,
        vocab_size=1000,
        eos_token_id=None,
        bos_token_id=None,
    )
    LlamaForCausalLM(config).save_pretrained(directory)
    return directory


def _warmed(model: Path | str, out: Path, rows: int) -> Manifest:
    """Exported with prompts of 64 tokens and 64 new ones, and measured by ``genserve warm``."""
    options = {
        "model": str(model),
        "name": "model",
        "tokenizer": "none",
        "target": "cpu",
        "prompt_lengths": [64],
        "batch_sizes": [rows],
        "max_new_tokens": 64,
        "extra_signatures": [],
        "verify": "none",
    }
    version = export(make_options(options), out).directory
    warm(out, [version])
    write_serving_configs(out)
    return Manifest.read(version)


def _own_bytes(manifest: Manifest) -> int:
    """Weights, and what XLA planned for the largest bucket."""
    buckets = [found.temporary_bytes + found.result_bytes for found in manifest.warmup.memory]
    return manifest.memory.weights_bytes + max(buckets)


def _server_peak(out: Path, rows: int) -> int:
    """The most that a preview server's process has held, once it has answered a full batch."""
    with serving(out, out / "log") as (process, url, _):
        prompts = {"input_ids": [[7] * 64] * rows, "num_tokens": [64] * rows}
        body = {"signature_name": "tokens", "inputs": prompts}
        answer = httpx.post(f"{url}/v1/models/model:predict", json=body, timeout=300)
        assert answer.json()["outputs"]["num_tokens"] == [64] * rows
        status = Path(f"/proc/{process}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found, status
    return int(found[1]) * 1024


@pytest.mark.full
@pytest.mark.end_to_end
def test_weights_and_the_largest_bucket_are_what_a_server_takes(tmp_path: Path) -> None:
    """Beyond what a server takes that holds next to nothing.

    A plan with half or twice the keys and values, or XLA's temporaries, would be out of the bounds.
    """
    empty, full = (tmp_path / name for name in ("empty", "full"))
    small = _warmed("demo:stories", empty, 1)
    large = _warmed(_llama(tmp_path / "checkpoint"), full, 64)
    runtime = _server_peak(empty, 1) - _own_bytes(small)
    peak = _server_peak(full, 64)
    planned, taken = _own_bytes(large), peak - runtime
    cache = 64 * large.memory.cache_bytes_per_row
    figures = {"planned": planned, "taken": taken, "cache": cache, "runtime": runtime, "peak": peak}
    print(figures)
    assert _own_bytes(small) < planned / 10, figures
    assert cache == 64 * 128 * 2 * 8 * 512 * 4 > planned / 2, figures
    assert 0.85 * planned <= taken <= 1.4 * planned, figures
    assert peak <= planned_bytes([large], ServingOptions(), "cpu"), figures
