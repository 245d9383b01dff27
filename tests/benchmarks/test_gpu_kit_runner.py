"""The kit's runner, as far as it needs no jax: times, processes that die or hang, PyTorch beside it."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from math import prod
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from scripts.benchmarks.gpu_kit import run
from scripts.benchmarks.gpu_kit.cases import CASES, Case, tiny_cases
from scripts.benchmarks.gpu_kit.programs import read_spec, weight_infos

#: One case of every architecture.
SHAPES = {case.shape: case for case in reversed(CASES) if case.weights == "plain"}


def test_a_step_is_the_difference_of_one_token_and_all_by_medians(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call takes 2 s for its first token and 0.5 s for each further one; one of five is held up."""
    now, calls = [0.0], []

    def call(count: int) -> None:
        calls.append(count)
        now[0] += 2 + 0.5 * (count - 1) + (100 if len(calls) in (4, 9) else 0)

    monkeypatch.setattr(run, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    assert run.figures(call, batch=3, tokens=9) == {
        "first_token_seconds": 2,
        "whole_seconds": 6,
        "step_seconds": 0.5,
        "tokens_per_second": 6,
    }
    assert calls == [1, 9, *[1] * 5, *[9] * 5]
    with pytest.raises(ValueError, match="the times are noise"):
        run.figures(lambda count: None, batch=3, tokens=9)
    rehearsed = run.figures(lambda count: None, batch=3, tokens=9, rehearsing=True)
    assert rehearsed == {"first_token_seconds": 0, "whole_seconds": 0}


#: A worker that answers every case, but for what the cases' names say.
WORKER = """
import argparse, json, os, time
parser = argparse.ArgumentParser()
for name in ("--worker", "--jobs", "--output", "--seconds"):
    parser.add_argument(name)
parser.add_argument("--rehearse", action="store_true")
options = parser.parse_args()
print("something of its own", flush=True)

def emit(name, result):
    print("RESULT " + json.dumps([name, result]), flush=True)

for name in json.loads(options.jobs):
    if "dies" in name:
        os._exit(9)
    if "no device" in name:
        emit("probe", {"error": "no device"})
        break
    times = {"first_token_seconds": 1, "step_seconds": 1, "tokens_per_second": 1}
    if options.worker == "torch":
        emit(name, {"versions": {"torch": "8"}, "modes": {"torch.compile": times}})
        if "hangs" in name:
            time.sleep(600)
    else:
        emit(name, {"equal": True} if name == "demo" else times)
"""

Start = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Start:
    """``start(names, cases="")``: runs cases of those names (the model before the dot) with ``WORKER``; exit
    code and results.json."""
    (tmp_path / "worker.py").write_text(WORKER)
    monkeypatch.setattr(run, "__file__", str(tmp_path / "worker.py"))

    def started(*names: str, cases: str = "") -> tuple[int, dict[str, Any]]:
        output = tmp_path / "results.json"
        options = argparse.Namespace(cases=cases, seconds=480, rehearse=True, output=output)
        known = {
            name: {"name": name, "model": name.split(".")[0], "weights": "plain"}
            | ({} if name == "demo" else {"config": {"model_type": "llama"}})
            for name in ("demo", *names)
        }
        code = run.Run(options, {"versions": {"genserve": "0"}}, known).run()
        return code, json.loads(output.read_text())

    return started


def test_the_runner_goes_on_behind_a_case_that_ends_its_process(
    start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    code, results = start("a.dies", "a.after", "b.one")
    assert code == 1
    ended = {"error": "the process ended, or had no time left; see its output"}
    assert results["cases"]["a.dies"] == ended
    assert [name for name, found in results["cases"].items() if "error" not in found] == [
        "demo",
        "a.after",
        "b.one",
    ]
    assert results["torch"]["a.dies"]["modes"] == {"": ended}
    assert list(results["torch"]["b.one"]["modes"]) == ["torch.compile"]
    assert results["skipped"] == []
    table = capsys.readouterr().out
    assert "something of its own" in table
    assert [line.split()[:2] for line in table.splitlines() if "FAILED" in line][-2:] == [
        ["a.dies", "FAILED:"],
        ["torch", "a.dies"],
    ]


def test_pytorch_that_hangs_is_ended_and_keeps_what_it_has_said(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "TORCH_SHARE", 2 / 480)
    code, results = start("a.hangs", "b.one")
    assert code == 0
    assert list(results["cases"]) == ["demo", "a.hangs", "b.one"]
    assert {name: list(found["modes"]) for name, found in results["torch"].items()} == {
        "a.hangs": ["torch.compile"],
        "b.one": ["torch.compile"],
    }


def test_without_a_device_nothing_else_is_started(start: Start) -> None:
    code, results = start("a.no device", "b.one")
    assert code == 1
    assert results["cases"] == {"demo": {"equal": True}, "probe": {"error": "no device"}}
    assert results["torch"] == {}


def test_cases_are_chosen_by_a_part_of_their_names(start: Start) -> None:
    code, results = start("a.one", "b.one", "b.two", cases="two")
    assert code == 0
    assert list(results["cases"]) == ["demo", "b.two"]


def test_a_jax_that_the_runner_does_not_know_is_named(tmp_path: Path) -> None:
    """Its names are private: a release without them must say so at once, and not case by case."""
    (tmp_path / "kit" / "tiny").mkdir(parents=True)
    case = {"name": "demo", "model": "demo", "weights": "plain"}
    index = {"versions": {}, "cases": [case, case | {"name": "a.one", "model": "a"}]}
    (tmp_path / "kit" / "tiny" / "index.json").write_text(json.dumps(index))
    (tmp_path / "kit" / "run.py").write_text(Path(run.__file__).read_text())
    (tmp_path / "jax.py").write_text("")
    done = subprocess.run(
        [sys.executable, tmp_path / "kit" / "run.py", "--rehearse", "--output", tmp_path / "results.json"],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "not the private names of jax that the runner knows" in done.stdout.splitlines()[-1]
    assert list(json.loads((tmp_path / "results.json").read_text())["cases"]) == ["probe"]


@pytest.mark.parametrize(
    "shape", [pytest.param(shape, marks=pytest.mark.full if "qwen" in shape else []) for shape in SHAPES]
)
def test_pytorch_has_as_many_parameters_as_the_program(shape: str) -> None:
    """At full size, without memory: what is compared has the same weights."""
    case = SHAPES[shape]
    model = run.torch_model({"config": case.config, "dtype": case.dtype}, "meta")
    infos = weight_infos(case, read_spec(case.config))
    assert {weight.dtype for weight in model.parameters()} == {getattr(torch, case.dtype)}
    ours = sum(prod(info.shape) for info in infos.values())
    assert sum(weight.numel() for weight in model.parameters()) == ours


class Answering:
    """Generates as it is told, less ``missing`` tokens, and keeps what it was told."""

    def __init__(self, missing: int = 0) -> None:
        self.missing, self.told = missing, dict[str, Any]()

    def generate(self, ids: torch.Tensor, **told: Any) -> torch.Tensor:
        self.told = told
        return ids.new_zeros(ids.shape[0], ids.shape[1] + told["max_new_tokens"] - self.missing)


@pytest.fixture
def untimed(monkeypatch: pytest.MonkeyPatch) -> None:
    """``figures`` calls for one token and for all, and has no times."""
    monkeypatch.setattr(run, "figures", lambda call, batch, tokens, **_: {"calls": [call(1), call(tokens)]})


_TORCH = {"vocab_size": 256, "batch": 2, "prompt": 8, "new_tokens": 4}


@pytest.mark.usefixtures("untimed")
def test_every_mode_is_what_its_name_says() -> None:
    told = {}
    for mode in run.MODES:
        model = Answering()
        run.torch_figures(model, _TORCH, mode, "cpu")
        told[mode] = model.told
        assert model.told["max_new_tokens"] == model.told["min_new_tokens"] == 4
        assert model.told["do_sample"] is False
    assert "cache_implementation" not in told["eager"]
    assert told["static cache"]["cache_implementation"] == "static"
    assert told["eager"]["disable_compile"] is told["static cache"]["disable_compile"] is True
    assert told["torch.compile"]["cache_implementation"] == "static"
    assert told["torch.compile"]["compile_config"].mode == "reduce-overhead"
    assert "disable_compile" not in told["torch.compile"]
    with pytest.raises(ValueError, match="generated 0 tokens, not 1"):
        run.torch_figures(Answering(missing=1), _TORCH, "eager", "cpu")


def _entry(case: Case) -> dict[str, Any]:
    """What the index says of a case, as far as PyTorch needs it."""
    return {
        "name": case.name,
        "config": case.config,
        "dtype": case.dtype,
        "batch": case.batch,
        "prompt": case.prompt,
        "new_tokens": 16,
        "vocab_size": 256,
    }


@pytest.mark.usefixtures("untimed")
@pytest.mark.parametrize("mode", ["eager", "static cache"])
def test_a_small_shape_in_pytorch(mode: str) -> None:
    entry = _entry(tiny_cases()[0])
    model = run.torch_model(entry, "cpu")
    assert run.torch_figures(model, entry, mode, "cpu") == {"calls": [None, None]}


@pytest.mark.full
@pytest.mark.usefixtures("untimed")
def test_pytorch_in_all_three_modes_compiles_what_it_should(capsys: pytest.CaptureFixture[str]) -> None:
    """As the worker does it; torch counts the graphs that it compiled."""
    from torch._dynamo.utils import counters

    counters.clear()
    shapes = {case.shape: case for case in tiny_cases() if case.weights == "plain"}
    cases = [_entry(shapes[name]) for name in ("llama-1.1b", "gpt2-124m")]
    options = argparse.Namespace(rehearse=True, seconds=800)
    run.work_torch(None, cases, options)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith(run._MARK)]
    results = dict(json.loads(line.removeprefix(run._MARK)) for line in lines)
    assert {name: found["modes"] for name, found in results.items()} == {
        case["name"]: {mode: {"calls": [None, None]} for mode in run.MODES} for case in cases
    }
    assert counters["stats"]["unique_graphs"] >= len(cases)
