"""What every runner shares: read a job, prepare, time, check the count of tokens, write a result.

Runners are scripts for foreign environments: they import this file as a neighbour, and nothing of genserve.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from memory import Memory  # type: ignore[import-not-found]


@dataclass(frozen=True)
class Job:
    """One measurement as the harness asks for it.

    Attributes:
      checkpoint: Hugging Face directory.
      artifact: the exported SavedModel version; None for peers.
      kind: "gpt2" or "t5".
      variant: the peer's own.
      options: generation options by transformers' names.
      prompts: ids [batch][prompt].
      new_tokens: tokens that every row must get.
      text: the case is one of strings.
      warmup, trials: calls that are not, and that are, counted.
      threads: CPU threads.
      work: a directory for converted models, kept between jobs.
    """

    checkpoint: str
    artifact: str | None
    kind: str
    variant: str
    options: dict[str, Any]
    prompts: list[list[int]]
    new_tokens: int
    text: bool
    warmup: int
    trials: int
    threads: int
    work: str


#: Generates once; returns the number of new tokens of every row. An attribute ``tokenizer``
#: does the tokenizer's part of the work alone.
Generate = Callable[[], list[int]]


def main(prepare: Callable[[Job], Generate], *distributions: str) -> None:
    """Runs the job in ``argv[1]`` and writes the result to ``argv[2]``.

    Args:
      prepare: loads the model for a job.
      distributions: packages whose versions belong into the result.
    """
    job = Job(**json.loads(Path(sys.argv[1]).read_text()))
    load_seconds, generate = _timed(lambda: prepare(job))
    first_seconds, counts = _timed(generate)
    expected = [job.new_tokens] * len(job.prompts)
    if list(counts) != expected:
        raise SystemExit(f"generated {list(counts)} tokens, expected {expected}")
    for _ in range(job.warmup):
        generate()
    # Memory's speed is that of the moment where machines are shared: it is taken beside every call.
    memory = Memory(job.threads)
    trials = [(_timed(generate)[0], memory.bandwidth()) for _ in range(job.trials)]
    result = {
        "seconds": [seconds for seconds, _ in trials],
        "bandwidth": [bandwidth for _, bandwidth in trials],
        "load_seconds": load_seconds,
        "first_seconds": first_seconds,
        "versions": {name: metadata.version(name) for name in distributions},
    }
    if hasattr(generate, "tokenizer"):
        parts = [_timed(generate.tokenizer)[0] for _ in range(job.warmup + job.trials)]
        result["tokenizer_seconds"] = statistics.median(parts[job.warmup :])
    Path(sys.argv[2]).write_text(json.dumps(result))


def _timed(call: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    value = call()
    return time.perf_counter() - started, value
