"""The article's comparison says what the result files say."""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import pytest

from scripts.benchmarks import __main__ as command
from scripts.benchmarks import article
from scripts.benchmarks.cases import MODEL_CASES, SEED_CASES, TARGET_CASES, Case
from scripts.benchmarks.harness import Bench, Result, RunFailedError, Settings
from scripts.benchmarks.peers import PEERS


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "bench", tmp_path, Settings())


def _store(bench: Bench, peer: str, case: Case, seconds: list[float], first: float, trials: int = 3) -> None:
    result = Result(
        seconds, [1e9] * len(seconds), case.tokens, 1.0, first, None, None, {peer: "9.8.7"},
        {"threads": 2, "trials": trials},
    )  # fmt: skip
    path = bench.result_path(peer, case)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(result)))


def test_every_way_of_the_article_is_asked_every_case() -> None:
    assert article.COMPARED == ("tf-eager", "tf-graph", "tf-xla", "torch", "genserve")
    assert all(PEERS[peer].can(case) for peer in article.COMPARED for case in SEED_CASES)
    assert {case.strategy for case in SEED_CASES} == {"sample", "beam-4"}
    asked = {peer for peer in PEERS if any(PEERS[peer].can(case) for case in MODEL_CASES)}
    assert asked == {"genserve", "torch"}
    assert not set(SEED_CASES) & set(TARGET_CASES)


def test_speed_first_call_and_when_it_has_paid(bench: Bench, tmp_path: Path) -> None:
    case = SEED_CASES[1]
    _store(bench, "tf-eager", case, [4.0, 9.0, 4.0], first=5.0)
    # 5 + 4 (n - 1) > 12 + (n - 1) from the fourth call on.
    _store(bench, "tf-xla", case, [1.0], first=12.0)
    _store(bench, "tf-graph", case, [4.5], first=9.0)
    _store(bench, "genserve", case, [0.5], first=4.0)
    article.write(bench, tmp_path / "a.md", {"processor": "abacus"})
    lines = [
        line.split(" | ")[1:]
        for line in (tmp_path / "a.md").read_text("utf-8").splitlines()
        if case.name in line
    ]
    speed, first, paid = ([cell.removesuffix(" |") for cell in line] for line in lines)
    assert speed == ["64.0 (8.00 x)", "56.9 (9.00 x)", "256.0 (2.00 x)", "–", "512.0"]
    assert first == ["5.0", "9.0", "12.0", "–", "4.0"]
    assert paid == ["–", "never", "4", "–", "1"]


def test_the_page_is_whole_in_itself(bench: Bench, tmp_path: Path) -> None:
    case = SEED_CASES[0]
    _store(bench, "torch", case, [2.0], first=3.0)
    article.write(bench, tmp_path / "a.md", {"processor": "</script><b>"})
    page = (tmp_path / "a.html").read_text("utf-8")
    assert not re.search(r"""(src|href|url)\s*[=(]\s*["']?(https?:)?//""", page)
    assert page.count("</script>") == 2
    held = re.search(r'id="data">(.*?)</script>', page, re.DOTALL)
    assert held is not None
    data = json.loads(held[1])
    assert data["facts"]["processor"] == "</script><b>"
    assert data["facts"]["torch"] == "torch 9.8.7"
    row = {"strategy": "sample", "batch": 1, "prompt": 32, "peer": "torch", "tokens": 32, "seconds": 2.0}
    assert data["rows"] == [{**row, "first": 3.0, "load": 1.0}]


def test_a_report_that_is_written_later_says_how_and_when_was_measured(bench: Bench, tmp_path: Path) -> None:
    _store(bench, "torch", SEED_CASES[0], [2.0], first=3.0, trials=2)
    _store(bench, "genserve", SEED_CASES[0], [1.0], first=3.0)
    day = datetime(2022, 7, 27, 12, tzinfo=UTC).timestamp()
    for peer in ("torch", "genserve"):
        os.utime(bench.result_path(peer, SEED_CASES[0]), (day, day))
    arguments = [
        "article",
        "--report-only",
        "--directory",
        str(bench.root),
        "--report",
        str(tmp_path / "a.md"),
    ]
    assert command.main(arguments) == 0
    lines = (tmp_path / "a.md").read_text("utf-8").splitlines()
    assert [line for line in lines if line.startswith(("- command", "- date", "- measured with"))] == [
        "- command: scripts/benchmark article",
        "- date: 2022-07-27",
        "- measured with: threads 2, trials 2 or 3",
    ]


def test_without_results_nothing_is_written(bench: Bench, tmp_path: Path) -> None:
    article.write(bench, tmp_path / "a.md", {})
    assert not list(tmp_path.glob("a.*"))


def test_a_published_model_that_is_missing_is_named(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENSERVE_REAL_MODELS", str(tmp_path))
    with pytest.raises(RunFailedError, match=r"SmolLM2-135M-Instruct: .*real_models\.py"):
        bench.measure("genserve", MODEL_CASES[0])
