"""docs/performance-article.md and its page: what the demo of the article would have shown.

"Faster TensorFlow Text Generation with XLA" (Hugging Face, 2022) links a demo that is gone.
``scripts/benchmark article`` measures what it spoke of: transformers' generate in TensorFlow eagerly, as a
graph and compiled by XLA, in PyTorch, and genserve; sampling and beam search; batch sizes and prompt
lengths; the first call, which traces and compiles, apart.
"""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

from scripts.benchmarks.cases import MODEL_CASES, SEED_CASES, Case
from scripts.benchmarks.harness import Bench, Result
from scripts.benchmarks.peers import PEERS
from scripts.benchmarks.report import MISSING, SPEEDS, by_case, listed, speed, stood_on

#: In the article's order; genserve last.
COMPARED = (*(name for name, peer in PEERS.items() if peer.seed), "genserve")
_PAGE = Path(__file__).with_name("article.html")

_INTRODUCTION = """\
# The article's comparison

Written by `scripts/benchmark article`; do not edit. "Faster TensorFlow Text Generation with XLA" (Hugging
Face, 2022) compares ways to run `generate`: eager TensorFlow, a graph of it, XLA, PyTorch. Here they stand
beside genserve, on a random-weight GPT-2 124M in fp32: sampling from the 50 likeliest tokens, and four beams.
32 new tokens a row; each figure is the median call of one process, after the first call and warm-up. The same
figures to click through, in one file: [performance-article.html](performance-article.html). A dash (–) is
what was not measured.
"""

_MODELS = """\
# Models beside PyTorch

Written by `scripts/benchmark models`; do not edit. Tokens per second of genserve's SavedModel and of
transformers on PyTorch, float32, 32 tokens a row, the median call: the published checkpoints of
[real-models.md](real-models.md), and random weights in the shapes of models whose mechanisms GPT-2 lacks:
latent attention (`mla`, like DeepSeek-V3), short convolutions (`lfm2`) and gated delta nets (`qwen3.5`), with
smaller vocabularies. In brackets: genserve's speed relative to PyTorch's. A dash (–) is what was not
measured.
"""


def write(bench: Bench, path: Path, facts: dict[str, str]) -> None:
    """Writes the report at ``path`` and the page beside it (``.html``), where there are results."""
    rows = measurements(bench)
    if not rows:
        return
    facts = stood_on(bench, SEED_CASES, facts)
    sections = [
        _INTRODUCTION,
        listed(facts),
        SPEEDS + by_case(bench, SEED_CASES, speed, COMPARED),
        "## Seconds of the first call\n\nTracing and compiling included; genserve compiles while a server "
        "starts, before any request.\n\n" + by_case(bench, SEED_CASES, _first, COMPARED),
        "## Calls after which compiling has paid\n\nSo many calls of the same shape, and the whole time is "
        "less than eager TensorFlow's.\n\n" + by_case(bench, SEED_CASES, _paid, COMPARED),
    ]
    path.write_text("\n".join(sections), encoding="utf-8")
    page = _PAGE.read_text(encoding="utf-8")
    data = json.dumps({"facts": facts, "peers": COMPARED, "rows": rows}).replace("<", "\\u003c")
    path.with_suffix(".html").write_text(page.replace("{{data}}", data), encoding="utf-8")


def write_models(bench: Bench, path: Path, facts: dict[str, str]) -> None:
    """Writes docs/performance-models.md, where there are results."""
    if any(bench.result("genserve", case) for case in MODEL_CASES):
        facts = stood_on(bench, MODEL_CASES, facts)
        speeds = by_case(bench, MODEL_CASES, speed, ("torch", "genserve"))
        path.write_text("\n".join([_MODELS, listed(facts), speeds]), encoding="utf-8")


def measurements(bench: Bench) -> list[dict[str, Any]]:
    """What the page shows: one object for each measured peer and case."""
    found = [(case, peer, bench.result(peer, case)) for case in SEED_CASES for peer in COMPARED]
    return [
        {
            "strategy": case.strategy,
            "batch": case.batch,
            "prompt": case.prompt,
            "peer": peer,
            "tokens": result.tokens,
            "seconds": round(statistics.median(result.seconds), 4),
            "first": round(result.first_seconds, 3),
            "load": round(result.load_seconds, 3),
        }
        for case, peer, result in found
        if result is not None
    ]


def _first(_: Bench, __: str, ___: Case, result: Result) -> str:
    return f"{result.first_seconds:.1f}"


def _paid(bench: Bench, peer: str, case: Case, result: Result) -> str:
    """The first number of calls with ``first + (n - 1) * warm`` below eager's."""
    eager = bench.result("tf-eager", case)
    if eager is None or peer == "tf-eager":
        return MISSING
    warm, other = statistics.median(result.seconds), statistics.median(eager.seconds)
    if result.first_seconds < eager.first_seconds:
        return "1"
    if warm >= other:
        return "never"
    return str(2 + int((result.first_seconds - eager.first_seconds) / (other - warm)))
