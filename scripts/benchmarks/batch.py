"""What length buckets and full batches are worth offline: rows of mixed lengths, GPT-2 with random weights.

    python -m scripts.benchmarks.batch DIRECTORY --rows 64

The same rows through the same version: a call a row, as a script would write it, and as ``genserve batch``
answers a shard. Both after every program has been compiled; the texts have to be equal.
"""

from __future__ import annotations

import argparse
import random
import time
from pathlib import Path
from typing import Any

LENGTHS = (32, 64, 128, 256)
NEW_TOKENS = 32


def main() -> None:
    """Prints a line for each way, and how much faster the second one is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--batch", type=int, default=16)
    arguments = parser.parse_args()
    from exporter.batch.answering import Answerer
    from exporter.batch.columns import Request
    from exporter.batch.shards import Row

    version = _version(arguments.directory, arguments.batch)
    draw = random.Random(0)
    # The made tokenizer has a token for two characters or so.
    texts = [
        "".join(draw.choices("abcdefgh ", k=draw.randint(20, 380))).encode() for _ in range(arguments.rows)
    ]
    requests = [Request(Row(str(place), None), {"text": text}) for place, text in enumerate(texts)]
    answerer = Answerer(version, "serving_default")
    ways: dict[str, Any] = {
        "a call a row": lambda: [
            answerer._function(**_row(text))["generated_text"].numpy()[0] for text in texts
        ],
        "in full batches": lambda: [
            answer["generated_text"].encode() for answer in answerer.answer(requests)
        ],
    }
    seconds, answers = {}, {}
    for name, way in ways.items():
        way()
        began = time.perf_counter()
        answers[name] = way()
        seconds[name] = time.perf_counter() - began
        print(f"{name}: {arguments.rows * NEW_TOKENS / seconds[name]:.1f} tokens/s", flush=True)
    first, second = ways
    same = sum(a == b for a, b in zip(answers[first], answers[second], strict=True))
    print(f"{seconds[first] / seconds[second]:.2f} times as fast; {same} of {arguments.rows} texts are equal")


def _row(text: bytes) -> dict[str, Any]:
    import tensorflow as tf

    return {"text": tf.constant([text])}


def _version(directory: Path, batch: int) -> Path:
    from exporter.exporting.pipeline import export
    from exporter.options import ExportOptions
    from scripts.benchmarks.cases import SHAPES
    from scripts.benchmarks.checkpoints import make_checkpoint

    checkpoint = make_checkpoint(SHAPES["gpt2-124m"], directory / "gpt2-124m")
    options = ExportOptions(
        model=str(checkpoint), prompt_lengths=LENGTHS, batch_sizes=(1, batch), max_new_tokens=NEW_TOKENS,
        target="cpu", dtype="float32", verify="none", warmup="none", extra_signatures=(),
        force=True, version=1,
    )  # fmt: skip
    return export(options, directory / "models").directory


if __name__ == "__main__":
    main()
