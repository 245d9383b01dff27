"""What the tokenizer runners share: read a job, load, time every batch new and again, write a result.

Runners are scripts for foreign environments: they import this file as a neighbour.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

#: Encodes a batch of texts and waits for the ids; returns how many there are.
Encode = Callable[[list[str]], int]


@dataclass(frozen=True)
class Job:
    """One measurement as ``scripts.benchmarks.tokenizers`` asks for it.

    Attributes:
      source: directory of the tokenizer's files.
      artifact: a SavedModel of the compiled tokenizer; None for peers.
      batches: name -> batches of texts, no text twice.
      hostile: name -> one long text.
      warmup, trials: calls that are not, and that are, counted.
    """

    source: str
    artifact: str | None
    batches: dict[str, list[list[str]]]
    hostile: dict[str, str]
    warmup: int
    trials: int


def main(load: Callable[[Job], Encode], *distributions: str) -> None:
    """Runs the job in ``argv[1]`` and writes the result to ``argv[2]``.

    "cold" are the seconds for texts that were never seen before, by a function that has been called; "warm"
    those for a batch that has.
    """
    job = Job(**json.loads(Path(sys.argv[1]).read_text()))
    before = resident_bytes()
    load_seconds, encode = _timed(load, job)
    first_seconds, _ = _timed(encode, ["Warm up."])
    loaded = resident_bytes() - before
    result = {
        "load_seconds": load_seconds,
        "first_seconds": first_seconds,
        "resident_bytes": loaded,
        "speeds": {name: _speeds(encode, batches, job) for name, batches in job.batches.items()},
        "hostile": {name: _timed(encode, [text]) for name, text in job.hostile.items()},
        "versions": {name: metadata.version(name) for name in distributions},
    }
    Path(sys.argv[2]).write_text(json.dumps(result))


def resident_bytes() -> int:
    """Memory that this process holds, as Linux counts it."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _speeds(encode: Encode, batches: list[list[str]], job: Job) -> dict[str, list[float]]:
    shape, *batches = batches  # the first call with so many rows
    for _ in range(job.warmup):
        encode(shape)
    cold = [_timed(encode, batch)[0] for batch in batches]
    again = itertools.islice(itertools.cycle(batches), job.trials)
    warm = [_timed(encode, batch)[0] for batch in again]
    return {"cold": cold, "warm": warm}


def _timed(call: Callable[[Any], Any], argument: Any) -> tuple[float, Any]:
    started = time.perf_counter()
    value = call(argument)
    return time.perf_counter() - started, value
