"""What length buckets and full batches are worth offline: rows of mixed lengths, GPT-2 with random weights.

    python -m scripts.benchmarks.batch DIRECTORY --rows 320 --batch 32 --new-tokens 64

Lengths are lognormal, 8 to 200 tokens. The same rows through the same version, after every program has been
compiled: a call a row, as a script would write it (a sample of the rows, spread over their lengths), and as
``genserve batch`` answers a shard. No text ends before it has all its tokens. The ways take turns, and
medians count, so that another process disturbs both. "Full" repeats rows until no place is empty: what
batches of this size can give at most.
"""

from __future__ import annotations

import argparse
import math
import random
import time
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

LENGTHS = (32, 64, 96, 128, 208)
SHORTEST, LONGEST = 8, 200


@dataclass(frozen=True)
class Way:
    """One way to answer rows: what it is asked, and how."""

    name: str
    rows: Sequence[Any]
    answer: Callable[[Sequence[Any]], list[Any]]


def main() -> None:
    """Prints tokens a second of each way, medians of their ratios, and how many places stay empty."""
    arguments = _arguments()
    from exporter.batch.answering import Answerer
    from exporter.batch.batches import batches
    from exporter.batch.columns import Request
    from exporter.batch.shards import Row
    from exporter.manifest import Manifest
    from exporter.saved_model.asking import Loaded, ask

    model = _version(arguments.directory, arguments.batch, arguments.new_tokens)
    answerer = Answerer(model, Manifest.read(model), "serving_default", arguments.calls)
    loaded = Loaded(model)
    requests = [Request(Row(text, None), {"text": text.encode()}) for text in _texts(arguments.rows)]
    lengths = answerer.lengths(requests)
    calls = batches(lengths, [0] * len(lengths), LENGTHS, answerer.batch_size)
    _describe(lengths, calls, answerer.batch_size)
    if arguments.corpus:
        arguments.corpus.write_text("".join(request.row.id + "\n" for request in requests), encoding="utf-8")

    def alone(some: Sequence[Any]) -> list[Any]:
        return [
            ask(loaded.signatures, "serving_default", {"text": [one.row.id]})["generated_text"][0]
            for one in some
        ]

    def together(some: Sequence[Any]) -> list[Any]:
        return [answer["generated_text"] for answer in answerer.answer(some)]

    by_length = [requests[place] for place in sorted(range(len(requests)), key=lengths.__getitem__)]
    sample = by_length[:: max(1, len(requests) // arguments.sample)]
    filled = [requests[(call * math.ceil(answerer.batch_size / len(call)))[place]]
              for call in calls for place in range(answerer.batch_size)]  # fmt: skip
    ways = [Way("a call a row", sample, alone), Way("in batches", requests, together)]
    ways += [Way("in full batches", filled, together)] * arguments.full
    buckets = [bisect_left(LENGTHS, length) for length in lengths]
    of_each_bucket = list(dict(zip(buckets, requests, strict=True)).values())
    alone(of_each_bucket)
    together(of_each_bucket)
    answers = _compare(ways, arguments.rounds, arguments.new_tokens)
    in_batches = dict(zip((one.row.id for one in requests), answers["in batches"], strict=True))
    same = sum(
        in_batches[one.row.id] == text for one, text in zip(sample, answers["a call a row"], strict=True)
    )
    print(f"{same} of {len(sample)} texts of a call a row are those of batches")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("directory", type=Path)
    for name, default in {"rows": 320, "batch": 32, "new-tokens": 64, "rounds": 3, "sample": 40}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--calls", type=int, default=0, help="side by side; default: as genserve batch")
    parser.add_argument("--full", action="store_true", help="full batches, too")
    parser.add_argument("--corpus", type=Path, help="writes the rows there, for genserve batch")
    return parser.parse_args()


def _texts(rows: int) -> list[str]:
    draw = random.Random(0)
    tokens = [min(max(draw.lognormvariate(math.log(48), 0.8), SHORTEST), LONGEST) for _ in range(rows)]
    # The made tokenizer has a token for 1.58 such characters.
    return ["".join(draw.choices("abcdefgh ", k=round(min(count, 195) * 1.58))) for count in tokens]


def _describe(lengths: Sequence[int], calls: Sequence[Sequence[int]], size: int) -> None:
    places = size * len(calls)
    bucket = [next(b for b in LENGTHS if b >= length) for length in lengths]
    print(
        f"{len(lengths)} rows of {min(lengths)} to {max(lengths)} tokens, median {median(lengths):.0f}, mean "
        f"{sum(lengths) / len(lengths):.0f}; rows by bucket: { {b: bucket.count(b) for b in LENGTHS} }\n"
        f"{len(calls)} calls of {size}: {1 - len(lengths) / places:.0%} of the places are empty; "
        f"{1 - sum(lengths) / sum(bucket):.0%} of the rows' prompt positions are padding",
        flush=True,
    )


def _compare(ways: Sequence[Way], rounds: int, new_tokens: int) -> dict[str, list[Any]]:
    """Tokens a second by the clock and of processor time, which what other programs do changes less.

    Returns:
      The last answers of each way.
    """
    answers: dict[str, list[Any]] = {}
    speeds: dict[str, list[tuple[float, float]]] = {way.name: [] for way in ways}
    for _ in range(rounds):
        for way in ways:
            clock, processor = time.perf_counter(), time.process_time()
            answers[way.name] = way.answer(way.rows)
            spent = time.perf_counter() - clock, time.process_time() - processor
            by_clock, by_processor = (len(way.rows) * new_tokens / seconds for seconds in spent)
            speeds[way.name].append((by_clock, by_processor))
            print(f"{way.name}: {by_clock:.1f} tokens/s, {by_processor:.1f} by the processor's", flush=True)
    first = speeds[ways[0].name]
    for name, found in speeds.items():
        ratios = [
            median(own[by] / other[by] for own, other in zip(found, first, strict=True)) for by in range(2)
        ]
        print(
            f"{name}: median {median(one for one, _ in found):.1f} tokens/s, {ratios[0]:.2f} times as many "
            f"as {ways[0].name}; {ratios[1]:.2f} by the processor's time"
        )
    return answers


def _version(directory: Path, batch: int, new_tokens: int) -> Path:
    from exporter.exporting.pipeline import export
    from exporter.options import ExportOptions
    from scripts.benchmarks.cases import SHAPES
    from scripts.benchmarks.checkpoints import make_checkpoint

    name = f"batch-{batch}-{new_tokens}"
    if (directory / "models" / name / "1" / "saved_model.pb").is_file():
        return directory / "models" / name / "1"
    checkpoint = make_checkpoint(SHAPES["gpt2-124m"], directory / "gpt2-124m")
    options = ExportOptions(
        model=str(checkpoint), name=name, prompt_lengths=LENGTHS, batch_sizes=(1, batch),
        max_new_tokens=new_tokens, target="cpu", dtype="float32", verify="none", warmup="none",
        extra_signatures=(), force=True, version=1,
    )  # fmt: skip
    return export(options, directory / "models").directory


if __name__ == "__main__":
    main()
