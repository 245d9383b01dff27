"""How fast memory can be read, by the same number of threads as the model has."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

_ARRAY_BYTES = 512 * 2**20  # far beyond any cache


class Memory:
    """Arrays to read, one for each thread."""

    def __init__(self, threads: int) -> None:
        self._arrays = [np.ones(_ARRAY_BYTES // 4 // threads, np.float32) for _ in range(threads)]

    def bandwidth(self, passes: int = 3) -> float:
        """Bytes per second that all threads read together; the best of ``passes``.

        Each looks for the largest value of its own array: one pass over memory, and nothing is written.
        """
        with ThreadPoolExecutor(len(self._arrays)) as pool:
            return max(_read(pool, self._arrays) for _ in range(passes))


def _read(pool: ThreadPoolExecutor, arrays: list[NDArray[np.float32]]) -> float:
    started = time.perf_counter()
    list(pool.map(lambda array: float(np.max(array)), arrays))
    return sum(array.nbytes for array in arrays) / (time.perf_counter() - started)
