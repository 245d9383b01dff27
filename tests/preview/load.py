"""Closed-loop clients: each sends a request, waits for its answer, and sends the next one."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

CLIENTS = 64
Request = tuple[str, dict[str, Any]]  # signature, columns
Answer = dict[str, np.ndarray]


@dataclass
class Outcome:
    """What a run saw.

    Attributes:
      answered: requests per client.
      errors: what was refused or failed, in the client's words.
      different: request's index -> how often its answer was not the one given alone.
      memory: MiB of the server's process, at equal times.
    """

    answered: list[int] = field(default_factory=lambda: [0] * CLIENTS)
    errors: list[str] = field(default_factory=list)
    different: dict[int, int] = field(default_factory=dict)
    memory: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        third, last = self.memory[len(self.memory) // 3], self.memory[-1]
        return (
            f"{sum(self.answered)} requests answered, {len(self.errors)} errors, "
            f"{sum(self.different.values())} different answers; memory "
            f"{self.memory[0]:.0f} MiB at the start, {third:.0f} after a third, "
            f"{self.memory[len(self.memory) // 2]:.0f} in the middle, {last:.0f} at the end"
        )


def resident_mib(process: int | str = "self") -> float:
    """Resident memory of a process."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * 4096 / 2**20


def run(
    connect: Callable[[int], AbstractContextManager[Any]],
    requests: Sequence[Request],
    alone: Sequence[Answer],
    same: Callable[[Request, Answer, Answer], bool],
    *,
    seconds: float,
    process: int | str = "self",
) -> Outcome:
    """64 clients send requests, drawn at random, until the time is over.

    Args:
      connect: client number -> a client.
      alone: the answer of each request, sent with no other beside it.
      process: whose memory is watched.
    """
    outcome = Outcome()
    deadline = time.monotonic() + seconds
    lock = threading.Lock()

    def client(number: int) -> None:
        own = random.Random(number)
        with connect(number) as connection:
            while time.monotonic() < deadline:
                index = own.randrange(len(requests))
                try:
                    answer = connection.predict(*requests[index])
                except Exception as error:  # whatever a client sees is a finding
                    with lock:
                        outcome.errors.append(f"{requests[index]}: {error!r}")
                    continue
                outcome.answered[number] += 1
                if not same(requests[index], answer, alone[index]):
                    with lock:
                        outcome.different[index] = outcome.different.get(index, 0) + 1

    threads = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        outcome.memory.append(resident_mib(process))
        time.sleep(seconds / 30)
    for thread in threads:
        thread.join()
    return outcome


def close(answer: np.ndarray, expected: np.ndarray, tolerance: float) -> bool:
    """Equal; floats up to ``tolerance``, relative and absolute."""
    if expected.dtype.kind == "f":
        return bool(np.allclose(answer, expected, rtol=tolerance, atol=tolerance))
    return bool(answer.tolist() == expected.tolist())
