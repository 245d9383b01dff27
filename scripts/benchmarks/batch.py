"""What length buckets and full batches are worth offline: rows of mixed lengths, GPT-2 with random weights.

    python -m scripts.benchmarks.batch DIRECTORY --rows 64

The same rows through the same version: a call a row, as a script would write it, and as ``genserve batch``
answers a shard. Both after every program has been compiled. No text ends before it has all its tokens.
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
    from exporter.manifest import Manifest
    from exporter.saved_model.asking import Loaded, ask

    model = _version(arguments.directory, arguments.batch)
    answerer, loaded = Answerer(model, Manifest.read(model), "serving_default"), Loaded(model)
    draw = random.Random(0)
    # The made tokenizer has a token for two characters or so.
    texts = ["".join(draw.choices("abcdefgh ", k=draw.randint(20, 380))) for _ in range(arguments.rows)]

    def alone(some: list[str]) -> list[Any]:
        return [
            ask(loaded.signatures, "serving_default", {"text": [text]})["generated_text"][0] for text in some
        ]

    def in_batches(some: list[str]) -> list[Any]:
        requests = [Request(Row(text, None), {"text": text.encode()}) for text in some]
        return [answer["generated_text"] for answer in answerer.answer(requests)]

    by_length = sorted(texts, key=len)
    each = [by_length[place * (len(texts) - 1) // 12] for place in range(13)]  # every program is compiled
    seconds, answers = [], []
    for name, way in {"a call a row": alone, "in full batches": in_batches}.items():
        way(each)
        began = time.perf_counter()
        answers.append(way(texts))
        seconds.append(time.perf_counter() - began)
        print(f"{name}: {arguments.rows * NEW_TOKENS / seconds[-1]:.1f} tokens/s", flush=True)
    same = sum(a == b for a, b in zip(*answers, strict=True))
    print(f"{seconds[0] / seconds[1]:.2f} times as fast; {same} of {arguments.rows} texts are equal")


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
