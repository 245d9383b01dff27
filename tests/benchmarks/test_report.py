"""The report says what the result files say, and no more."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from scripts.benchmarks import report
from scripts.benchmarks.cases import (
    GREEDY_1,
    GREEDY_8,
    LIMITS,
    TARGET_CASES,
    TARGETS,
    TOP_P,
    Case,
    Limit,
    Target,
)
from scripts.benchmarks.harness import Bench, Result, Settings
from scripts.benchmarks.peers import PEERS


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "bench", tmp_path, Settings())


def _store(
    bench: Bench, peer: str, case: Case, seconds: list[float], bandwidth: tuple[float, ...] = ()
) -> None:
    result = Result(
        seconds=seconds,
        bandwidth=list(bandwidth) or [1e9] * len(seconds),
        tokens=case.tokens,
        load_seconds=1.0,
        first_seconds=2.0,
        export_seconds=3.0 if peer == "genserve" else None,
        graph_bytes=4_000_000 if peer == "genserve" else None,
        versions={peer: "9.8.7"},
        settings=asdict(bench.settings),
    )
    path = bench.result_path(peer, case)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(result)))


def test_speed_is_of_the_median_call(bench: Bench) -> None:
    _store(bench, "genserve", GREEDY_8, [1.0, 9.0, 2.0, 4.0, 3.0])
    stored = bench.result("genserve", GREEDY_8)
    assert stored is not None
    assert stored.tokens_per_second == pytest.approx(8 * 64 / 3.0)


def test_target_against_a_peer_and_against_ourselves(bench: Bench) -> None:
    """Twice the peer's speed; 0.8 of our own greedy speed."""
    _store(bench, "genserve", GREEDY_8, [1.0])
    _store(bench, "tf-xla", GREEDY_8, [2.0])
    _store(bench, "genserve", TOP_P, [1.25])
    assert report.measured(bench, Target(GREEDY_8, 1.1, "tf-xla")) == pytest.approx(2.0)
    assert report.measured(bench, Target(TOP_P, 0.9, than=GREEDY_8)) == pytest.approx(0.8)
    assert report.measured(bench, Target(GREEDY_1, 1.0, "tf-xla")) is None
    lines = report.targets(bench).splitlines()
    assert f"| {GREEDY_8.name} | tf-xla | >= 1.1 x | 2.00 x | yes |" in lines
    assert f"| {TOP_P.name} | {GREEDY_8.name} | >= 0.9 x | 0.80 x | no |" in lines
    assert f"| {GREEDY_1.name} | tf-xla | >= 1.0 x | – | – |" in lines


def test_report_without_results_is_readable(bench: Bench, tmp_path: Path) -> None:
    path = tmp_path / "docs" / "performance.md"
    report.write(bench, path, {"processor": "abacus"})
    text = path.read_text(encoding="utf-8")
    assert "- processor: abacus" in text
    assert "bandwidth: not measured yet" in text
    assert all(case.name in text for case in TARGET_CASES)


def test_report_names_the_versions_and_the_memory_that_were_measured(bench: Bench, tmp_path: Path) -> None:
    _store(bench, "tf-xla", GREEDY_8, [2.0, 2.0, 2.0], (40e9, 35e9, 69e9))
    path = tmp_path / "performance.md"
    report.write(bench, path, {})
    text = path.read_text(encoding="utf-8")
    assert "- tf-xla: tf-xla 9.8.7" in text
    assert "- memory read bandwidth, beside every call: 40.0 GB/s (35.0 to 69.0)" in text


def test_targets_only_ask_what_their_peers_can_do() -> None:
    for target in TARGETS:
        assert PEERS["genserve"].can(target.case)
        assert (target.peer is None) != (target.than is None)
        if target.peer is not None:
            assert PEERS[target.peer].can(target.case), target


def test_limits_from_above_and_from_below(bench: Bench) -> None:
    """1 s of compilation against 1.5 s; 64 steps of 160 bytes in calls that each have their own memory."""
    _store(bench, "genserve", GREEDY_1, [1.0, 0.5, 2.0], (20_480.0, 81_920.0, 6_400.0))
    _store(bench, "tf-xla", GREEDY_1, [0.5])
    compilation, bandwidth = Limit("compile", GREEDY_1, 0.5), Limit("bandwidth", GREEDY_1, 0.9, least=True)
    checkpoint = bench.root / "checkpoints" / GREEDY_1.shape
    checkpoint.mkdir(parents=True)
    weights = {"wte.weight": np.zeros([10, 4], np.float32), "h.0.wpe.weight": np.zeros([9, 4], np.float32)}
    save_file(weights, checkpoint / "model.safetensors")
    assert report.figure(bench, compilation) == pytest.approx(1.0 / 1.5)
    assert report.figure(bench, bandwidth) == pytest.approx(0.5)  # of 0.5, 0.25 and 0.8
    lines = report.limits(bench).splitlines()
    assert f"| compilation of a bucket, relative to tf-xla | {GREEDY_1.name} | <= 0.50 | 0.67 | no |" in lines
    assert f"| weights read, of what memory can give | {GREEDY_1.name} | >= 0.90 | 0.50 | no |" in lines
    assert sum("–" in line for line in lines) == len(LIMITS) - 2
