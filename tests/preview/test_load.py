"""Many clients at once, mixing signatures, sizes and protocols: every answer equals the one given alone."""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from exporter.client import GrpcClient, RestClient

CLIENTS = 64
BATCHING = """
max_batch_size { value: 8 } batch_timeout_micros { value: 2000 } max_enqueued_batches { value: 1000 }
num_batch_threads { value: 2 } allowed_batch_sizes: 1 allowed_batch_sizes: 4 allowed_batch_sizes: 8
"""
WORDS = ["once", "upon", "ä", "time", "bad row", "\U0001f600", "", "x" * 200]
# Largest difference of the compiled product between batch sizes, relative to its values.
TOLERANCE = 1e-5


def a_request(generator: random.Random) -> tuple[str, dict[str, Any]]:
    rows = generator.randint(1, 8)
    signature = generator.choice(["serving_default", "copy", "compiled", "pair"])
    if signature == "compiled":
        return signature, {"x": [[generator.random() for _ in range(3)] for _ in range(rows)]}
    if signature == "pair":
        scale = [generator.random() for _ in range(rows)]
        return signature, {
            "scale": scale,
            "count": list(range(rows)),
            "negate": [bool(i % 2) for i in range(rows)],
        }
    return signature, {"text": [generator.choice(WORDS) for _ in range(rows)]}


def same(answer: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> bool:
    if sorted(answer) != sorted(expected):
        return False
    for name, array in expected.items():
        if array.dtype.kind == "f":
            if not np.allclose(answer[name], array, rtol=TOLERANCE, atol=TOLERANCE):
                return False
        elif answer[name].tolist() != array.tolist():
            return False
    return True


def resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def test_load(start: Any, toy_versions: Path, tmp_path: Path, full: bool) -> None:
    """The short form runs for seconds, the full one for five minutes."""
    seconds = 300.0 if full else 4.0
    (tmp_path / "batching.config").write_text(BATCHING)
    alone = start(model_name="toy", model_base_path=toy_versions)
    server = start(
        model_name="toy", model_base_path=toy_versions, batching_parameters_file=tmp_path / "batching.config"
    )
    generator = random.Random(7)
    requests = [a_request(generator) for _ in range(200)]
    reference = GrpcClient(alone.grpc_target, "toy")
    expected = [reference.predict(*request) for request in requests]
    problems: list[str] = []
    counts = [0] * CLIENTS
    memory: list[float] = []
    deadline = time.monotonic() + seconds

    def client(number: int) -> None:
        kind = GrpcClient if number % 2 else RestClient
        target = server.grpc_target if number % 2 else server.rest_url
        own = random.Random(number)
        with kind(target, "toy") as connection:
            while time.monotonic() < deadline and not problems:
                index = own.randrange(len(requests))
                try:
                    answer = connection.predict(*requests[index])
                except Exception as error:
                    problems.append(f"{requests[index]}: {error!r}")
                    return
                if not same(answer, expected[index]):
                    problems.append(f"{requests[index]}: {answer} instead of {expected[index]}")
                counts[number] += 1

    threads = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        memory.append(resident_mib())
        time.sleep(min(5.0, seconds / 8))
    for thread in threads:
        thread.join()
    assert problems == []
    assert min(counts) > 0
    third = memory[len(memory) // 3]
    print(
        f"{sum(counts)} requests in {seconds:.0f} s; "
        f"{third:.0f} MiB after a third, {memory[-1]:.0f} at the end"
    )
    if full:
        assert memory[-1] < third + 100
