"""What a search over logits costs on the CPU when it is made for either target; prints a table of Markdown.

    TF_NUM_INTRAOP_THREADS=1 python -m scripts.benchmarks.strategies

Times are CPU seconds of one thread, so that a busy machine does not count: compiling, and a call (median).
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from exporter.choices import Target
from exporter.generation.topk import largest
from exporter.generation.warpers import top_k, top_p
from exporter.targets import compiled_for

VOCABULARIES, BATCHES, CALLS = (50257, 128256), (1, 8, 32), 5
SEARCHES: dict[str, Callable[[tf.Tensor], Any]] = {
    "top-p 0.9": lambda logits: top_p(logits, 0.9),
    "top-k 50": lambda logits: top_k(logits, 50.0),
    # Candidates of four beams.
    "8 largest of 4 rows": lambda logits: largest(tf.tile(logits, [1, 4]), 8),
}


def measure(search: Callable[[tf.Tensor], Any], logits: tf.Tensor, target: Target) -> tuple[float, float]:
    """CPU seconds of compiling (the first call less one other), and of a call."""

    def traced(logits: tf.Tensor) -> Any:
        with compiled_for(target):
            return search(logits)

    compiled = tf.function(traced, jit_compile=True, autograph=False)
    compiled.get_concrete_function(logits)
    times = []
    for _ in range(CALLS + 1):
        started = time.process_time()
        tf.nest.map_structure(lambda tensor: tensor.numpy(), compiled(logits))
        times.append(time.process_time() - started)
    call = statistics.median(times[1:])
    return times[0] - call, call


def main() -> None:
    print("| search | vocabulary | batch | compile: cpu | gpu | call: cpu | gpu |")
    print("|---|---|---|---|---|---|---|")
    rng = np.random.default_rng(0)
    for name, search in SEARCHES.items():
        measure(search, tf.zeros([1, 1000]), "cpu")  # what TensorFlow prepares once
        for vocab in VOCABULARIES:
            for batch in BATCHES:
                logits = tf.constant(rng.normal(size=(batch, vocab), scale=3), tf.float32)
                compile_cpu, call_cpu = measure(search, logits, "cpu")
                compile_gpu, call_gpu = measure(search, logits, "gpu")
                print(
                    f"| {name} | {vocab:,} | {batch} | {compile_cpu:.2f} s | {compile_gpu:.2f} s "
                    f"| {call_cpu * 1e3:.1f} ms | {call_gpu * 1e3:.1f} ms |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
