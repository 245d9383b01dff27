"""What each dtype, and weights in int8, cost on this machine's CPU: size, memory, speed, accuracy.

    python -m scripts.benchmarks.dtypes --directory bench [--rounds 5]

Size, memory and speed are of random weights of GPT-2's 124M shapes, exported with --target cpu and asked by a
process of its own; rounds go over all variants, the best one counts. Accuracy is of the trained demo model,
against float32, on stories that it was not trained on: int8 weights in float32 alone, others as they are.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.benchmarks.cases import SHAPES
from scripts.benchmarks.checkpoints import make_checkpoint

SHAPE, NEW_TOKENS, PROMPT, BATCHES = "gpt2-124m", 32, 32, (1, 8)


@dataclass(frozen=True)
class Variant:
    """How a version is exported."""

    dtype: str
    weights: str = "plain"
    tables: bool = False

    @property
    def name(self) -> str:
        stored = " and tables" if self.tables else ""
        return self.dtype if self.weights == "plain" else f"{self.dtype}, int8 kernels{stored}"

    def options(self, model: str, **more: Any) -> dict[str, Any]:
        values = {"model": model, "dtype": self.dtype, "weights": self.weights, "int8_tables": self.tables}
        return values | more


VARIANTS = (
    Variant("float32"),
    Variant("bfloat16"),
    Variant("float16"),
    Variant("float32", "int8"),
    Variant("float32", "int8", tables=True),
    Variant("bfloat16", "int8", tables=True),
)


def main() -> None:
    """Measures every variant and prints a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--ask", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.ask:
        print(json.dumps(_answer(arguments.ask)))
        return
    checkpoint = make_checkpoint(SHAPES[SHAPE], arguments.directory / SHAPE)
    places = [_export(variant, checkpoint, arguments.directory / "out") for variant in VARIANTS]
    measured: list[list[dict[str, float]]] = [[] for _ in places]
    for _ in range(arguments.rounds):
        for place, found in zip(places, measured, strict=True):
            found.append(_asked(place, arguments.directory))
    print("| variant | weights | memory | tokens/s, 1 row | 8 rows | tokens | logits | perplexity |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for variant, place, found in zip(VARIANTS, places, measured, strict=True):
        print(_line(variant, place, found, _accuracy(variant, arguments.directory / "out")))


def _export(variant: Variant, checkpoint: Path, out: Path) -> Path:
    """The version directory."""
    from exporter.exporting.pipeline import export
    from exporter.options import make_options

    options = variant.options(
        str(checkpoint),
        name=variant.name.replace(", ", "-").replace(" ", "-"),
        target="cpu",
        tokenizer="none",
        prompt_lengths=(PROMPT,),
        batch_sizes=BATCHES,
        max_new_tokens=NEW_TOKENS,
        extra_signatures=(),
        warmup="none",
        verify="none",
        version=1,
        force=True,
    )
    return export(make_options(options), out).directory


def _asked(place: Path, directory: Path) -> dict[str, float]:
    command = [sys.executable, "-m", __spec__.name, "--directory", str(directory), "--ask", str(place)]
    found: dict[str, float] = json.loads(subprocess.check_output(command, text=True).splitlines()[-1])
    return found


def _answer(place: Path) -> dict[str, float]:
    """Tokens per second of each batch size, and the most memory that the process held."""
    import re

    import numpy as np
    import tensorflow as tf

    loaded = tf.saved_model.load(str(place))
    signature = loaded.signatures["tokens"]
    found = {}
    for rows in BATCHES:
        ids = np.random.default_rng(0).integers(0, 50000, (rows, PROMPT)).astype(np.int32)
        inputs = {"input_ids": tf.constant(ids), "num_tokens": tf.constant([PROMPT] * rows)}
        signature(**inputs)
        seconds = []
        for _ in range(3):
            started = time.perf_counter()
            signature(**inputs)["num_tokens"].numpy()
            seconds.append(time.perf_counter() - started)
        found[str(rows)] = rows * NEW_TOKENS / min(seconds)
    # Not ru_maxrss, which begins with that of the process before exec.
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return found | {"bytes": int(peak[1]) * 1024 if peak else math.nan}


def _accuracy(variant: Variant, out: Path) -> Any:
    """Of the demo model, against float32 with plain weights."""
    from exporter.exporting.accuracy import measure_accuracy
    from exporter.exporting.plan import plan_export, stored_weights
    from exporter.exporting.tokenizers import Tokenizers
    from exporter.families import load_weights
    from exporter.model import build_model
    from exporter.options import make_options
    from exporter.tokenizer import build_tokenizer

    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from demo_checkpoints.story_text import documents  # type: ignore[import-not-found]

    text = out / "stories.txt"
    text.write_text("\n".join(" ".join(document.split()) for document in documents(987654, 48)))
    whole = {"weights": "int8", "accuracy_text": text}
    plan = plan_export(make_options(variant.options("demo:stories") | whole), out)
    tokenizers = Tokenizers(build_tokenizer(plan.checkpoint.path), {})
    stored = stored_weights(plan.options.model_copy(update={"weights": variant.weights}), *_of(plan))
    plain = load_weights(plan.spec, plan.checkpoint, "float32")
    return measure_accuracy(
        plan,
        tokenizers,
        lambda: build_model(plan.spec, plain),
        lambda: build_model(plan.spec, stored, plan.dtype),
        texts=(),
    )


def _of(plan: Any) -> tuple[Any, ...]:
    return plan.spec, plan.checkpoint, plan.dtype


def _line(variant: Variant, place: Path, found: list[dict[str, float]], accuracy: Any) -> str:
    weights = json.loads((place / "assets.extra" / "genserve.json").read_text())["memory"]["weights_bytes"]
    speeds = [max(each[str(rows)] for each in found) for rows in BATCHES]
    memory = max(each["bytes"] for each in found)
    cells = [
        variant.name,
        f"{weights / 1e6:.0f} MB",
        f"{memory / 1e6:.0f} MB",
        *(f"{speed:.0f}" for speed in speeds),
        f"{accuracy.token_match:.1%}",
        f"{accuracy.logit_error:.2%}",
        f"{accuracy.perplexity / accuracy.perplexity_plain - 1:+.2%}",
    ]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
