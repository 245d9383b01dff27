"""The harness measures with foreign processes, checks what they produced, and never measures twice."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from scripts.benchmarks import __main__ as command
from scripts.benchmarks import harness
from scripts.benchmarks.cases import SHAPES, SMOKE_CASES, Case
from scripts.benchmarks.checkpoints import make_checkpoint
from scripts.benchmarks.harness import Bench, RunFailedError, Settings
from scripts.benchmarks.peers import PEERS

GREEDY = SMOKE_CASES[0]
FAKE = """
import sys
sys.path.insert(0, {runners!r})
from timing import main
calls = []
def prepare(job):
    def generate():
        calls.append(1)
        return [job.new_tokens - {missing}] * len(job.prompts)
    return generate
main(prepare, "numpy")
"""


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "bench", tmp_path, Settings(threads=1, warmup=1, trials=3))


def _fake_runner(monkeypatch: pytest.MonkeyPatch, directory: Path, missing: int) -> None:
    """Stands in for the PyTorch runner."""
    text = FAKE.format(runners=str(harness.RUNNERS), missing=missing)
    (directory / f"{PEERS['torch'].runner}.py").write_text(text)
    monkeypatch.setattr(harness, "RUNNERS", directory)


def test_result_is_stored_with_the_runners_versions(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fake_runner(monkeypatch, tmp_path, missing=0)
    measured = bench.measure("torch", GREEDY)
    assert bench.result("torch", GREEDY) == measured
    assert len(measured.seconds) == len(measured.bandwidth) == 3
    assert min(measured.bandwidth) > 1e8  # of no machine less, and no count of bytes in a second is none
    assert set(measured.versions) == {"numpy"}


def test_too_few_tokens_are_a_failure(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer that stops early would look fast."""
    _fake_runner(monkeypatch, tmp_path, missing=1)
    with pytest.raises(RunFailedError, match=r"generated \[7, 7\] tokens, expected \[8, 8\]"):
        bench.measure("torch", GREEDY)
    assert bench.result("torch", GREEDY) is None


def test_a_stored_result_is_not_measured_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _fake_runner(monkeypatch, tmp_path, missing=0)
    arguments = [
        "--smoke",
        "--peers",
        "torch",
        "--cases",
        GREEDY.name,
        "--directory",
        str(tmp_path / "bench"),
    ]
    assert command.main(arguments) == 0
    assert "[1/1] torch" in capsys.readouterr().out
    assert command.main(arguments) == 0
    assert "torch" not in capsys.readouterr().out
    assert command.main([*arguments, "--again"]) == 0
    assert "[1/1] torch" in capsys.readouterr().out


@pytest.mark.parametrize("shape", ["tiny-gpt2", "tiny-t5"])
def test_checkpoints_never_stop_and_never_change(tmp_path: Path, shape: str) -> None:
    first = make_checkpoint(SHAPES[shape], tmp_path / "first" / shape)
    second = make_checkpoint(SHAPES[shape], tmp_path / "second" / shape)
    assert (first / "model.safetensors").read_bytes() == (second / "model.safetensors").read_bytes()
    assert json.loads((first / "config.json").read_text())["eos_token_id"] is None
    vocabulary = json.loads((first / "tokenizer.json").read_text())["model"]["vocab"]
    assert len(vocabulary) == SHAPES[shape].config["vocab_size"]


@pytest.mark.full
@pytest.mark.end_to_end
@pytest.mark.parametrize("case", [GREEDY, Case("tiny-t5", "beam-4", 2, 16, 8)], ids=lambda case: case.name)
def test_torch_runner(bench: Bench, case: Case) -> None:
    """The one peer whose packages the test environment has."""
    for peer in ("torch", "torch-static"):
        assert bench.measure(peer, case).tokens == 16


def test_runners_import_nothing_of_genserve() -> None:
    """They run in environments where it is not installed."""
    for script in harness.RUNNERS.glob("*.py"):
        text = script.read_text()
        assert "from exporter" not in text, script
        compiled: Any = subprocess.run(
            [sys.executable, "-m", "py_compile", str(script)], capture_output=True, check=False
        )
        assert compiled.returncode == 0, script
