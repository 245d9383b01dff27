"""What the figures stand on: processor, memory, and how fast memory can be read."""

from __future__ import annotations

import os
import platform
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_ARRAY_BYTES = 512 * 2**20  # far beyond any cache


def read_bandwidth(threads: int, trials: int = 5) -> float:
    """Bytes per second that ``threads`` threads read together; the best of ``trials``.

    Each looks for the largest value of its own array: one pass over memory, and nothing is written.
    """
    arrays = [np.ones(_ARRAY_BYTES // 4 // threads, np.float32) for _ in range(threads)]
    with ThreadPoolExecutor(threads) as pool:
        return max(_pass(pool, arrays) for _ in range(trials + 1))


def _pass(pool: ThreadPoolExecutor, arrays: list[NDArray[np.float32]]) -> float:
    started = time.perf_counter()
    list(pool.map(lambda array: float(np.max(array)), arrays))
    return sum(array.nbytes for array in arrays) / (time.perf_counter() - started)


def describe() -> dict[str, str]:
    """Processor, cores, memory and operating system, as text."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    release = platform.release().partition("-")[0]
    return {
        "processor": _processor(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{memory / 2**30:.0f} GiB",
        "system": f"{platform.system()} {release}, Python {platform.python_version()}",
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
