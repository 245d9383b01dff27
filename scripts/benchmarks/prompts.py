"""Reading prompts: CPU time and peak memory of compiled prefill, and of one mixture; a line for each case.

    python -m scripts.benchmarks.prompts attention 1x1024 16x1024 1x8192
    python -m scripts.benchmarks.prompts mixture 1x512

A case is BATCHxLENGTH and runs in a process of its own, whose peak resident size is taken before and after.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

LLAMA = {"model_type": "llama", "vocab_size": 64, "num_hidden_layers": 4, "max_position_embeddings": 65536}
KINDS: dict[str, dict[str, Any]] = {
    "attention": {**LLAMA, "hidden_size": 256, "intermediate_size": 256, "num_attention_heads": 8},
    "wide": {**LLAMA, "hidden_size": 512, "intermediate_size": 1536, "num_attention_heads": 8},
    "window": {
        **LLAMA,
        "model_type": "mistral",
        "hidden_size": 256,
        "intermediate_size": 256,
        "num_attention_heads": 8,
        "sliding_window": 512,
    },
    "mixture": {
        **LLAMA,
        "model_type": "qwen3_moe",
        "num_hidden_layers": 2,
        "hidden_size": 256,
        "intermediate_size": 256,
        "moe_intermediate_size": 128,
        "num_attention_heads": 4,
        "head_dim": 64,
        "num_experts": 128,
        "num_experts_per_tok": 8,
    },
}


def main(arguments: list[str]) -> None:
    """Prints a line for each case."""
    options = _parser().parse_args(arguments)
    if len(options.cases) == 1:
        batch, length = map(int, options.cases[0].split("x"))
        print(f"{options.kind:10s} {options.cases[0]:9s} {_measured(options, batch, length)}", flush=True)
        return
    for case in options.cases:
        kept = [value for value in arguments if value not in options.cases]
        subprocess.run([sys.executable, "-m", __spec__.name, *kept, case], check=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("cases", nargs="+", metavar="BATCHxLENGTH")
    parser.add_argument("--target", choices=["cpu", "gpu"], default="cpu")
    parser.add_argument("--block", type=int, help="columns of a block of attention")
    parser.add_argument("--trials", type=int, default=5)
    return parser


def _measured(options: argparse.Namespace, batch: int, length: int) -> str:
    program, prompt = _program(options, batch, length)
    before, began = _peak(), time.process_time()
    program(*prompt)
    compiled, times = time.process_time() - began, _times(lambda: program(*prompt), options.trials)
    return (
        f"best {min(times) * 1e3:9.1f} ms of CPU, median {statistics.median(times) * 1e3:9.1f}, "
        f"first {compiled:5.1f} s, peak + {_peak() - before:6.0f} MiB"
    )


def _program(options: argparse.Namespace, batch: int, length: int) -> tuple[Callable[..., Any], Any]:
    import tensorflow as tf

    from exporter.generation.step import Prompt
    from exporter.targets import compiled_for
    from tests.model.toys import random_model

    if options.block:
        from exporter.model import blocks

        blocks.BLOCK[options.target] = options.block
    model = random_model(KINDS[options.kind])
    open_shapes = [tf.TensorSpec([None, None], tf.int32), tf.TensorSpec([None], tf.int32)]

    @tf.function(jit_compile=True, autograph=False, input_signature=open_shapes)
    def read(tokens: tf.Tensor, lengths: tf.Tensor) -> Any:
        logits, cache = model.prefill(Prompt(tokens, lengths), max_new_tokens=1)
        return logits, cache.prompts

    with compiled_for(options.target):
        read.get_concrete_function()
    return read, (tf.random.uniform([batch, length], 0, 64, tf.int32, seed=0), tf.fill([batch], length))


def _times(call: Callable[[], Any], trials: int) -> list[float]:
    times = []
    for _ in range(trials):
        began = time.process_time()
        call()[0].numpy()
        times.append(time.process_time() - began)
    return times


def _peak() -> float:
    """MiB, the largest resident size of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main(sys.argv[1:])
