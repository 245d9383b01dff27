"""One version, one corpus and one run over it, for all tests of the verb."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.batch.verb import by_id, run

WORDS = ["the", "little", "dog", "ran", "to", "a", "big", "house", "and", "saw", "his", "friend"]


class Run(NamedTuple):
    """A run over the whole corpus: what it printed, its folder, and its answers by their ids."""

    result: Any
    output: Path
    answers: dict[str, Any]


@pytest.fixture(scope="session")
def version(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of several batch sizes; each of its answers has a float that says how it was computed."""
    from exporter.exporting.pipeline import export
    from exporter.options import ExportOptions

    options = ExportOptions(
        model="demo:stories", prompt_lengths=(8, 32), batch_sizes=(1, 2, 4), max_new_tokens=5, target="cpu",
        outputs=("score",), verify="none", warmup="none",
    )  # fmt: skip
    return export(options, tmp_path_factory.mktemp("models")).directory


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """14 rows of both length buckets; those of the numbers 3, 5 and 6 cannot be answered."""
    draw = random.Random(4)
    rows: list[Any] = [
        {
            "text": " ".join(draw.choices(WORDS, k=draw.choice([1, 4, 15]))),
            "temperature": draw.choice([0, 0.9]),
        }
        for _ in range(14)
    ]
    rows[3] = {"txt": "x"}
    rows[5]["max_new_tokens"] = 6
    rows[6]["text"] = "dog " * 99
    path = tmp_path_factory.mktemp("corpus") / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="session")
def once(version: Path, corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """All rows in one shard."""
    output = tmp_path_factory.mktemp("once") / "out"
    result = run(corpus, "--model", version, "--signature", "generate", "-o", output)
    return Run(result, output, by_id(output))
