"""Every program of the kit, tiny, compiled and run by JAX's XLA on the CPU (scripts/test --kit)."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exporter.families.int8 import UNIT
from scripts.benchmarks.gpu_kit import report, run
from scripts.benchmarks.gpu_kit.cases import tiny_cases
from scripts.benchmarks.gpu_kit.kit import write_kit

pytestmark = pytest.mark.kit


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("kit")
    write_kit(directory, (), tiny_cases())
    return directory


@pytest.fixture(scope="module")
def index(kit: Path) -> dict[str, dict[str, Any]]:
    """What the index says of each case, by name."""
    cases = json.loads((kit / "tiny" / "index.json").read_text())["cases"]
    return {case["name"]: case for case in cases}


@pytest.fixture(scope="module")
def results(kit: Path) -> dict[str, Any]:
    """Of the whole rehearsal."""
    done = subprocess.run([sys.executable, "run.py", "--rehearse", "--seconds", "1500"], cwd=kit)
    found: dict[str, Any] = json.loads((kit / "results.json").read_text())
    assert done.returncode == 0, found["cases"]
    return found


@pytest.mark.timeout(1800)
def test_every_program_runs(results: dict[str, Any], index: dict[str, Any]) -> None:
    assert list(results["cases"]) == list(index)
    assert results["skipped"] == []
    assert results["cases"]["demo"]["equal"] is True
    timed = {name: found for name, found in results["cases"].items() if name != "demo"}
    for name, found in timed.items():
        assert found["whole_seconds"] > 0, name
        assert found["temporary_bytes"] > 0, name
        # 48 tokens drawn from 256 that are about as likely as each other; the best one may come each time.
        drawn = index[name]["strategy"] in ("top-p", "generate")
        assert found["distinct_tokens"] > (16 if drawn else 0), name


def test_pytorch_runs_in_every_mode(results: dict[str, Any], index: dict[str, Any]) -> None:
    models = {case["model"] for name, case in index.items() if name != "demo" and case["weights"] == "plain"}
    assert {index[name]["model"] for name in results["torch"]} == models
    for name, found in results["torch"].items():
        assert list(found["modes"]) == list(run.MODES), name
        assert all(one["whole_seconds"] > 0 for one in found["modes"].values()), name


def test_the_optimised_programs_lie_beside_the_results(kit: Path, results: dict[str, Any]) -> None:
    for name in results["facts"]:
        text = gzip.decompress((kit / "results-hlo" / f"{name}.txt.gz").read_bytes()).decode()
        assert text.startswith("HloModule"), name
        assert "ENTRY" in text, name


def test_the_page_says_what_the_rehearsal_found(results: dict[str, Any]) -> None:
    import jax

    page = report.page(results)
    count = len(results["facts"])
    assert f"programs that ran to their end: {count} of {count}" in page
    assert "the demo's answers: those of the exported SavedModel" in page
    assert f"jax {jax.__version__}" in page


@pytest.fixture(scope="module")
def xla() -> run.Xla:
    return run.Xla()


@pytest.mark.parametrize("weights", ["plain", "int8"])
def test_weights_are_drawn_so_that_activations_keep_their_size(
    xla: run.Xla, index: dict[str, dict[str, Any]], weights: str
) -> None:
    """Of a kernel the deviation of its outputs is that of its inputs, in int8 after its scales."""
    (case, *_) = [each for each in index.values() if each["weights"] == weights and each["model"] != "demo"]
    parameters = {each["name"]: each for each in case["parameters"] if each["kind"] == "weight"}
    assert any(each["dtype"] == "int8" for each in parameters.values()) == (weights == "int8")
    drawn = {
        name: np.asarray(xla.draw(each, case["parameters"], number))
        for number, (name, each) in enumerate(parameters.items())
    }
    for name, each in parameters.items():
        array = drawn[name]
        assert (list(array.shape), array.dtype) == (each["shape"], np.dtype(each["dtype"])), name
        if array.dtype == np.int8:
            assert np.abs(array.astype(np.int32)).max() <= 127
            array = array / UNIT * drawn[f"{name}_scale"][..., None, :]
        wide = np.asarray(array, np.float64)
        if name.endswith(".scale"):
            assert (wide == 1).all(), name
        elif name.endswith("kernel"):
            assert wide.std() * wide.shape[-2] ** 0.5 == pytest.approx(1, rel=0.1), name
            assert abs(wide.mean()) < 0.1 * wide.std(), name
        elif name.startswith("embedding."):
            assert wide.std() == pytest.approx(0.02, rel=0.1), name


def test_biases_are_nothing(xla: run.Xla, index: dict[str, dict[str, Any]]) -> None:
    case = next(each for name, each in index.items() if name.startswith("gpt2"))
    biases = [each for each in case["parameters"] if each["name"].endswith("bias")]
    assert biases
    assert not any(np.asarray(xla.draw(each, case["parameters"], 0)).any() for each in biases)


def test_arguments_fill_the_bucket_and_weights_are_drawn_once(
    xla: run.Xla, index: dict[str, dict[str, Any]]
) -> None:
    case = next(each for each in index.values() if each["strategy"] == "generate" and each["batch"] > 1)
    weights: dict[str, Any] = {}
    given = xla.arguments(case, weights)
    by_name = {each["name"]: value for each, value in zip(case["parameters"], given, strict=True)}
    for each in case["parameters"]:
        value = by_name[each["name"]]
        assert (list(value.shape), str(value.dtype)) == (each["shape"], each["dtype"]), each
        if each["kind"] == "row":
            assert np.unique(np.asarray(value)) == np.asarray(case["row_values"][each["name"]], each["dtype"])
    tokens = np.asarray(by_name["tokens"])
    assert tokens.min() >= 1
    assert case["vocab_size"] > tokens.max() > case["vocab_size"] / 2
    assert (np.asarray(by_name["lengths"]) == case["prompt"]).all()
    assert np.asarray(by_name["live"]).all()
    again = xla.arguments(case, weights)
    same = [one is other for one, other in zip(given, again, strict=True)]
    assert same == [each["kind"] == "weight" for each in case["parameters"]]
