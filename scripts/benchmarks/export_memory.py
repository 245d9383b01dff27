"""How much memory and time an export takes, against the size of its weights.

    python -m scripts.benchmarks.export_memory --directory bench [--models 1.2B-bfloat16,7B-bfloat16]

Llama checkpoints of several sizes are made of one random block, repeated; that of 7B shapes is a file of
holes, exported with ``--verify none``. Each is exported by ``genserve export`` in a process of its own, whose
tree is watched: the most that one process held (its high-water mark), and the most that all held at a time.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import ml_dtypes  # noqa: F401  (registers bfloat16)
import numpy as np

from exporter.demo import demo_path
from scripts.benchmarks import machine

VOCAB, BLOCK_BYTES, SHARD_BYTES = 32000, 64 << 20, 4 << 30
_ITEM_BYTES = {"float32": 4, "bfloat16": 2}
_STORED = {"float32": "F32", "bfloat16": "BF16"}
#: Seconds between two looks at the processes.
_PAUSE = 0.05


@dataclass(frozen=True)
class Model:
    """A Llama checkpoint; ``sparse``: of holes, read as zeros, and not verified."""

    name: str
    dtype: str
    hidden: int
    width: int
    layers: int
    heads: int
    sparse: bool = False

    def shapes(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Every tensor, as transformers names it."""
        hidden, width = self.hidden, self.width
        yield "model.embed_tokens.weight", (VOCAB, hidden)
        for index in range(self.layers):
            layer = f"model.layers.{index}."
            for part in ("q", "k", "v", "o"):
                yield f"{layer}self_attn.{part}_proj.weight", (hidden, hidden)
            yield f"{layer}mlp.gate_proj.weight", (width, hidden)
            yield f"{layer}mlp.up_proj.weight", (width, hidden)
            yield f"{layer}mlp.down_proj.weight", (hidden, width)
            yield f"{layer}input_layernorm.weight", (hidden,)
            yield f"{layer}post_attention_layernorm.weight", (hidden,)
        yield "model.norm.weight", (hidden,)
        yield "lm_head.weight", (VOCAB, hidden)

    @property
    def parameters(self) -> int:
        return sum(int(np.prod(shape)) for _, shape in self.shapes())

    @property
    def weights_bytes(self) -> int:
        return self.parameters * _ITEM_BYTES[self.dtype]

    def config(self) -> dict[str, Any]:
        """config.json."""
        return {
            "model_type": "llama",
            "architectures": ["LlamaForCausalLM"],
            "hidden_size": self.hidden,
            "intermediate_size": self.width,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.heads,
            "vocab_size": VOCAB,
            "max_position_embeddings": 2048,
            "tie_word_embeddings": False,
            "eos_token_id": 0,
        }


_SIZES = {"0.1B": (768, 2048, 8, 12), "0.4B": (1280, 3456, 16, 20), "1.2B": (2048, 5632, 21, 32)}
MODELS = [
    *(Model(f"{size}-{dtype}", dtype, *shape) for size, shape in _SIZES.items() for dtype in _ITEM_BYTES),
    Model("7B-bfloat16", "bfloat16", 4096, 11008, 32, 32, sparse=True),
]


@dataclass(frozen=True)
class Result:
    """One export.

    Attributes:
      process_bytes: the most that one of its processes held.
      total_bytes: the most that all of them held at one time.
      seconds: from start to end of the command; ``export_seconds``: without Python's start, as it prints.
      load: the machine's load average over a minute, before and after.
    """

    model: str
    parameters: int
    weights_bytes: int
    largest_bytes: int
    verify: str
    process_bytes: int
    total_bytes: int
    seconds: float
    export_seconds: float
    data_files: int
    largest_file_bytes: int
    load: tuple[float, float]


def make(model: Model, directory: Path) -> Path:
    """Writes the checkpoint; nothing of it is held but one block."""
    directory.mkdir(parents=True)
    (directory / "config.json").write_text(json.dumps(model.config()))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(demo_path("stories") / name, directory / name)
    shards, held = [[]], 0
    for name, shape in model.shapes():
        nbytes = int(np.prod(shape)) * _ITEM_BYTES[model.dtype]
        if held + nbytes > SHARD_BYTES:
            shards.append([])
            held = 0
        shards[-1].append((name, shape, nbytes))
        held += nbytes
    files = [f"model-{n:05}-of-{len(shards):05}.safetensors" for n in range(1, len(shards) + 1)]
    for file, tensors in zip(files, shards, strict=True):
        _write_shard(directory / file, tensors, model)
    weight_map = {name: file for file, tensors in zip(files, shards, strict=True) for name, *_ in tensors}
    (directory / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {}, "weight_map": weight_map})
    )
    return directory


def _write_shard(path: Path, tensors: list[tuple[str, tuple[int, ...], int]], model: Model) -> None:
    header, at = {}, 0
    for name, shape, nbytes in tensors:
        header[name] = {
            "dtype": _STORED[model.dtype],
            "shape": list(shape),
            "data_offsets": [at, at + nbytes],
        }
        at += nbytes
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        if model.sparse:
            file.truncate(8 + len(text) + at)
            return
        block = _block(model.dtype)
        for start in range(0, at, len(block)):
            file.write(block[: at - start])


def _block(dtype: str) -> memoryview:
    values = np.random.default_rng(0).normal(0, 0.02, BLOCK_BYTES // _ITEM_BYTES[dtype])
    return memoryview(values.astype(np.dtype(dtype)).view(np.uint8))


def measure(model: Model, directory: Path) -> Result:
    """Makes the checkpoint, exports it, and removes both."""
    source, output = directory / f"checkpoint-{model.name}", directory / f"export-{model.name}"
    shutil.rmtree(source, ignore_errors=True)
    try:
        make(model, source)
        return _export(model, source, output)
    finally:
        shutil.rmtree(source, ignore_errors=True)
        shutil.rmtree(output, ignore_errors=True)


def _export(model: Model, source: Path, output: Path) -> Result:
    verify, before = "none" if model.sparse else "full", os.getloadavg()[0]
    options = ["--dtype", model.dtype, "--verify", verify, "--prompt-lengths", "32", "--batch-sizes", "1"]
    command = [sys.executable, "-m", "exporter", "export", str(source), str(output), *options]
    started = time.monotonic()
    process = subprocess.Popen([*command, "--json"], stdout=subprocess.PIPE, text=True)
    watch = Watch(process.pid)
    text, _ = process.communicate()
    seconds = time.monotonic() - started
    watch.end()
    if process.returncode:
        raise SystemExit(f"the export of {model.name} ended with code {process.returncode}")
    facts = json.loads(text)
    files = list(Path(facts["version_directory"]).rglob("variables.data-*"))
    sizes = [int(np.prod(shape)) for _, shape in model.shapes()]
    joined = (3 * model.hidden**2, 2 * model.hidden * model.width)  # qkv, and gate with up: one weight each
    return Result(
        model=model.name,
        parameters=model.parameters,
        weights_bytes=model.weights_bytes,
        largest_bytes=max(*sizes, *joined) * _ITEM_BYTES[model.dtype],
        verify=verify,
        process_bytes=watch.process_bytes,
        total_bytes=watch.total_bytes,
        seconds=round(seconds, 1),
        export_seconds=facts["seconds"],
        data_files=facts["data_files"],
        largest_file_bytes=max(file.stat().st_size for file in files),
        load=(round(before, 1), round(os.getloadavg()[0], 1)),
    )


class Watch:
    """Looks at a process and its descendants until it is told to end (Linux)."""

    def __init__(self, root: int) -> None:
        self.process_bytes = self.total_bytes = 0
        self._root, self._ended = root, threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def end(self) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(_PAUSE):
            held = [memory(process) for process in descendants(self._root)]
            self.total_bytes = max(self.total_bytes, sum(now for now, _ in held))
            self.process_bytes = max([self.process_bytes, *(most for _, most in held)])


def descendants(process: int) -> Iterator[int]:
    """A process and all below it."""
    yield process
    try:
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except OSError:
        return
    for child in children:
        yield from descendants(int(child))


def memory(process: int) -> tuple[int, int]:
    """Resident bytes: now, and at most so far; zeros of a process that is gone."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0, 0
    known = {key: value for key, _, value in (line.partition(":") for line in lines)}
    return tuple(int(known.get(key, "0 kB").split()[0]) * 1024 for key in ("VmRSS", "VmHWM"))


def table(results: list[Result]) -> str:
    """As Markdown, by size: gigabytes are 10^9 bytes."""
    lines = [
        "| model | weights GB | largest GB | verify | bound GB | most of a process GB | all at a time GB | "
        "seconds | data files | load average |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for one in sorted(results, key=lambda one: one.weights_bytes):
        bound = one.weights_bytes + one.largest_bytes + 1_500_000_000
        numbers = (one.weights_bytes, one.largest_bytes, bound, one.process_bytes, one.total_bytes)
        weights, largest, allowed, process, total = (f"{number / 1e9:.2f}" for number in numbers)
        load = " to ".join(f"{value:.0f}" for value in one.load)
        lines.append(
            f"| {one.model} | {weights} | {largest} | {one.verify} | {allowed} | {process} | {total} | "
            f"{one.seconds:.0f} | {one.data_files} | {load} |"
        )
    return "\n".join(lines)


def kept_results(file: Path) -> list[Result]:
    """The newest result of each model."""
    lines = file.read_text().splitlines() if file.exists() else []
    newest = {facts["model"]: Result(**facts) for facts in map(json.loads, lines)}
    return list(newest.values())


def main() -> None:
    """Measures and keeps what it found, a line of JSON per model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--models", default=",".join(model.name for model in MODELS))
    parser.add_argument("--directory", type=Path, default=Path("bench"), help="for checkpoints and results")
    chosen = parser.parse_args()
    chosen.directory.mkdir(parents=True, exist_ok=True)
    kept = chosen.directory / "export-memory.jsonl"
    print(json.dumps(machine.describe()))
    for model in MODELS:
        if model.name in chosen.models.split(","):
            line = json.dumps(asdict(measure(model, chosen.directory)))
            print(line, flush=True)
            with kept.open("a") as file:
                file.write(f"{line}\n")
    print(table(kept_results(kept)))


if __name__ == "__main__":
    main()
