"""Layers in a loop or one after the other: compilation, saved_model.pb and a step; two lines a case.

    python -m scripts.benchmarks.layers 12x64 32x64 80x64
    python -m scripts.benchmarks.layers 12x768 --batch 1 8 --tokens 64
    python -m scripts.benchmarks.layers 12x64 32x64 --model-type lfm2

A case is LAYERSxHIDDEN, a model (a Llama) with random weights and greedy search, and runs in a process of its
own. Tracing and compilation are in seconds of CPU. A step is the difference of calls for all tokens and for
one, by their number: of both the best of all trials, which alternate.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

VOCAB = 256
#: model_type -> what its config has beside a Llama's sizes (None: lacks it), and the pattern of its layers.
KINDS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "llama": ({}, []),
    "lfm2": ({}, ["conv", "conv", "full_attention"]),
    "qwen3_5_text": (
        {
            "head_dim": 64,
            "linear_num_key_heads": 4,
            "linear_num_value_heads": 4,
            "linear_key_head_dim": 32,
            "linear_value_head_dim": 32,
        },
        [*["linear_attention"] * 3, "full_attention"],
    ),
    "mamba": (
        dict.fromkeys(
            ("intermediate_size", "num_attention_heads", "num_key_value_heads", "max_position_embeddings")
        ),
        [],
    ),
}


def main(arguments: list[str]) -> None:
    """Prints two lines for each case."""
    options = _parser().parse_args(arguments)
    if len(options.cases) == 1:
        for line in _measured(options, *map(int, options.cases[0].split("x"))):
            print(line, flush=True)
        return
    for case in options.cases:
        kept = [value for value in arguments if value not in options.cases]
        subprocess.run([sys.executable, "-m", __spec__.name, case, *kept], check=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("cases", nargs="+", metavar="LAYERSxHIDDEN")
    parser.add_argument("--model-type", choices=list(KINDS), default="llama")
    parser.add_argument("--target", choices=["cpu", "gpu"], default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--batch", type=int, nargs="+", default=[1])
    parser.add_argument("--prompt", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--trials", type=int, default=5)
    return parser


def _measured(options: argparse.Namespace, layers: int, hidden: int) -> Iterator[str]:
    from exporter.families.stacked import StackedWeights

    spec, plain = _model(layers, hidden, options)
    made = {
        "unrolled": _Made(spec, plain, options),
        "loop": _Made(spec, StackedWeights(spec, plain), options),
    }
    for batch in options.batch:
        compiled = {name: one.seconds(batch, 1, time.process_time) for name, one in made.items()}
        times: dict[tuple[str, int], list[float]] = {}
        for _ in range(options.trials):
            for name, one in made.items():
                for count in (1, options.tokens):
                    times.setdefault((name, count), []).append(one.seconds(batch, count))
        for name, one in made.items():
            short, long = (min(times[name, count]) for count in (1, options.tokens))
            yield (
                f"{layers:3d} x {hidden:4d} {name:8s} batch {batch:2d}: traced {one.traced:5.1f} s, "
                f"saved_model.pb {one.saved / 1e3:7.0f} kB, compiled {compiled[name]:6.1f} s, "
                f"prefill {short * 1e3:8.1f} ms, step {(long - short) / (options.tokens - 1) * 1e3:8.2f} ms"
            )


class _Made:
    """A program of greedy search, traced and saved."""

    def __init__(self, spec: Any, weights: Any, options: argparse.Namespace) -> None:
        import tensorflow as tf

        from exporter.generation.generation_options import GenerationOptions
        from exporter.manifest import Buckets
        from exporter.model import build_model
        from exporter.saved_model.programs import Programs
        from exporter.saved_model.served import ProgramKey
        from exporter.targets import compiled_for

        asked = GenerationOptions(max_new_tokens=options.tokens, pad_token_id=0, eos_token_id=())
        model, self.prompt = build_model(spec, weights), options.prompt
        buckets = Buckets(prompt_lengths=(options.prompt,), batch_sizes=tuple(options.batch))
        began = time.process_time()
        with compiled_for(options.target):
            program = Programs(model, buckets, 0, None).get(ProgramKey("generation", asked, False))
        self.traced, self.program = time.process_time() - began, program.program.compiled
        self.rows = program.program.per_row
        holder = tf.Module()
        holder.model = model
        with tempfile.TemporaryDirectory() as folder:
            tf.saved_model.save(holder, folder, signatures=self._signature(tf))
            self.saved = (Path(folder) / "saved_model.pb").stat().st_size

    def _signature(self, tf: Any) -> Any:
        def served(tokens: Any, lengths: Any) -> Any:
            return self.program(tokens, lengths, tf.ones_like(lengths, tf.bool), self._rows(tf, lengths, 1))

        specs = [tf.TensorSpec([None, None], tf.int32), tf.TensorSpec([None], tf.int32)]
        return tf.function(served, autograph=False).get_concrete_function(*specs)

    def _rows(self, tf: Any, lengths: Any, count: int) -> dict[str, Any]:
        return {
            name: tf.cast(tf.ones_like(lengths) * (count if name == "max_new_tokens" else 1), spec.dtype)
            for name, spec in self.rows.items()
        }

    def seconds(self, batch: int, count: int, clock: Callable[[], float] = time.monotonic) -> float:
        """Of a call for ``count`` tokens."""
        import tensorflow as tf

        lengths = tf.fill([batch], self.prompt)
        tokens = tf.random.uniform([batch, self.prompt], 0, VOCAB, tf.int32, seed=0)
        rows = self._rows(tf, lengths, count)
        began = clock()
        self.program(tokens, lengths, tf.fill([batch], True), rows)["num_tokens"].numpy()
        return clock() - began


def _model(layers: int, hidden: int, options: argparse.Namespace) -> tuple[Any, Any]:
    from exporter.families import FAMILIES, read_spec
    from exporter.families.ties import find_tables
    from exporter.families.weights import plan
    from exporter.weights import WeightInfo, Weights

    more, pattern = KINDS[options.model_type]
    config = {
        "model_type": options.model_type,
        "vocab_size": VOCAB,
        "hidden_size": hidden,
        "intermediate_size": hidden * 4,
        "num_hidden_layers": layers,
        "num_attention_heads": max(4, hidden // 64),
        "num_key_value_heads": max(4, hidden // 64),
        "max_position_embeddings": 2048,
        **more,
        **({"layer_types": (pattern * layers)[:layers]} if pattern else {}),
    }
    spec = read_spec({key: value for key, value in config.items() if value is not None})
    names, rng = FAMILIES[spec.model_type].names_for(spec), np.random.default_rng(0)

    class Drawn(Weights):
        def __init__(self) -> None:
            self.infos = {}
            for weight in plan(spec, names, find_tables(spec, names, {})):
                shapes = [part.convert(np.broadcast_to(0, part.shape)).shape for part in weight.groups[0]]
                shape = (*shapes[0][:-1], sum(shape[-1] for shape in shapes))
                self.infos[weight.target] = WeightInfo(shape, np.dtype(options.dtype))

        def __getitem__(self, name: str) -> Any:
            info = self.infos[name]
            return (rng.standard_normal(info.shape, np.float32) * 0.02).astype(info.dtype)

    return spec, Drawn()


if __name__ == "__main__":
    main(sys.argv[1:])
