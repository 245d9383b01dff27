"""What a guide costs a decoding step: GPT-2's shape and vocabulary, random weights, a table of random masks.

    python -m scripts.benchmarks.guides 1 8

A line for each number of rows and each search: the least CPU time of a step, without and with the guide.
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

GPT2 = {"model_type": "gpt2", "vocab_size": 50257, "n_positions": 1024}
OPTIONS: dict[str, dict[str, Any]] = {
    "greedy": {},
    "greedy, with n-grams banned": {"no_repeat_ngram_size": 3},
}
NEW, PROMPT, STATES, CLASSES, ALLOWED = 48, 32, 440, 300, 0.2


def main(arguments: list[str]) -> None:
    """Prints the lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("rows", nargs="+", type=int)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--trials", type=int, default=5)
    options = parser.parse_args(arguments)
    from exporter.targets import compiled_for
    from tests.model.toys import random_model

    model = random_model({**GPT2, "n_embd": 768, "n_layer": options.layers, "n_head": 12})
    with compiled_for("cpu"):
        for rows in options.rows:
            for name, chosen in OPTIONS.items():
                plain, guided = _steps(model, rows, chosen, options.trials)
                more = guided / plain - 1
                print(
                    f"{name}, {rows} rows: {plain:7.2f} ms, guided {guided:7.2f} ms, {more:+.1%}", flush=True
                )


def _steps(model: Any, rows: int, chosen: dict[str, Any], trials: int) -> tuple[float, float]:
    """Milliseconds of CPU a step, without and with a guide; trials of both take turns."""
    programs = [_program(model, rows, chosen, guides) for guides in (None, _guides())]
    for program in programs:
        program()
    best = [float("inf")] * 2
    for _ in range(trials):
        for number, program in enumerate(programs):
            began = time.process_time()
            program().numpy()
            best[number] = min(best[number], (time.process_time() - began) / NEW * 1e3)
    return best[0], best[1]


def _program(model: Any, rows: int, chosen: dict[str, Any], guides: Any) -> Any:
    import tensorflow as tf

    from exporter.generation import generate
    from exporter.generation.generation_options import GenerationOptions
    from exporter.generation.rows import default_rows
    from exporter.generation.step import Prompt

    options = GenerationOptions(max_new_tokens=NEW, **chosen)
    tokens = tf.random.uniform([rows, PROMPT], 0, GPT2["vocab_size"], tf.int32, seed=0)

    @tf.function(jit_compile=True, autograph=False)
    def read(tokens: tf.Tensor, lengths: tf.Tensor) -> Any:
        settings = default_rows(options, rows)
        prompt = Prompt(tokens, lengths)
        return generate(model, prompt, options, settings, row_options=False, guides=guides).sequences

    return lambda: read(tokens, tf.fill([rows], PROMPT))


def _guides() -> Any:
    """One guide; every state allows about a fifth of the classes, and none ends."""
    import numpy as np

    from exporter.generation.guides import Guides
    from exporter.guides import GuideTable

    rng = np.random.default_rng(0)
    table = rng.integers(0, STATES, (STATES, CLASSES)).astype(np.int32)
    table[rng.random(table.shape) > ALLOWED] = -1
    table[:, 0] = 0
    return Guides([GuideTable(table, rng.integers(0, CLASSES, int(GPT2["vocab_size"])).astype(np.int32))])


if __name__ == "__main__":
    main(sys.argv[1:])
