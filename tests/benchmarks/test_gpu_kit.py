"""The kit says what its programs are, and the page says what a run found."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorflow.compiler.xla import xla_data_pb2
from tensorflow.compiler.xla.service import hlo_pb2

from scripts.benchmarks.gpu_kit import report
from scripts.benchmarks.gpu_kit.cases import CASES, Case, tiny_cases
from scripts.benchmarks.gpu_kit.kit import LIMIT, RUNNER, KitTooLargeError, main, write_kit
from scripts.benchmarks.gpu_kit.programs import read_spec, step_bytes, weight_infos
from tests.conftest import ROOT

#: As HLO names dtypes.
_HLO_DTYPES = {
    "bool": xla_data_pb2.PRED,
    "int8": xla_data_pb2.S8,
    "int32": xla_data_pb2.S32,
    "int64": xla_data_pb2.S64,
    "float32": xla_data_pb2.F32,
    "bfloat16": xla_data_pb2.BF16,
}


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo, and a tiny mixture with int8 weights and beams."""
    directory = tmp_path_factory.mktemp("kit")
    cases = [Case("qwen3-30b-a3b", "bfloat16", "beam-4", 2, 8, new_tokens=6, weights="int8", tiny=True)]
    write_kit(directory, (), cases)
    return directory


@pytest.fixture(scope="module")
def index(kit: Path) -> list[dict[str, Any]]:
    cases: list[dict[str, Any]] = json.loads((kit / "tiny" / "index.json").read_text())["cases"]
    return cases


def _program(path: Path) -> Any:
    """The ProgramShape of a case."""
    return hlo_pb2.HloModuleProto.FromString(gzip.decompress(path.read_bytes())).host_program_shape


def test_the_index_names_the_parameters_and_outputs_of_the_programs(
    kit: Path, index: list[dict[str, Any]]
) -> None:
    assert [case["strategy"] for case in index] == ["greedy", "beam-4"]
    for case in index:
        _check_program(kit / "tiny", case)


def _check_program(folder: Path, case: dict[str, Any]) -> None:
    """Parameters and outputs of the written program are those that the index names, in its order."""
    program = _program(folder / f"{case['name']}.hlo.gz")
    found = [(list(each.dimensions), each.element_type) for each in program.parameters]
    assert found == [(each["shape"], _HLO_DTYPES[each["dtype"]]) for each in case["parameters"]]
    outputs = [each.element_type for each in program.result.tuple_shapes]
    assert outputs == [_HLO_DTYPES[each["dtype"]] for each in case["outputs"]]


@pytest.mark.full
@pytest.mark.timeout(1800)
def test_the_whole_kit_is_written_within_its_limit(tmp_path: Path) -> None:
    """Every case at its full size, 32 and 48 layers among them, as ``gpu-kit DIR`` writes it."""
    assert main([str(tmp_path)]) == 0
    size = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    assert size <= LIMIT == 40 * 2**20
    for folder, wanted in ((tmp_path, CASES), (tmp_path / "tiny", tiny_cases())):
        cases = {case["name"]: case for case in json.loads((folder / "index.json").read_text())["cases"]}
        assert list(cases) == ["demo", *dict.fromkeys(case.name for case in wanted)]
        for case in cases.values():
            _check_program(folder, case)
    assert {case.shape: len(read_spec(case.config).decoder.layers) for case in CASES} == {
        "llama3.1-8b": 32,
        "gpt2-124m": 12,
        "llama-1.1b": 22,
        "qwen3-30b-a3b": 48,
    }
    assert (tmp_path / "run.py").read_bytes() == RUNNER.read_bytes()


def test_int8_programs_take_int8_kernels_and_their_scales(index: list[dict[str, Any]]) -> None:
    weights = {each["name"]: each for each in index[1]["parameters"] if each["kind"] == "weight"}
    assert weights["layers.0.moe.down.kernel"]["dtype"] == "int8"
    assert weights["layers.0.moe.down.kernel_scale"]["shape"] == [8, 64]
    assert weights["head.kernel"]["dtype"] == "bfloat16"


def test_the_demo_has_the_checkpoints_weights_and_transformers_answers(
    kit: Path, index: list[dict[str, Any]], reference: list[list[int]]
) -> None:
    """What the kit expects is the SavedModel's answer, and that is the reference's."""
    held = np.load(kit / "demo.npz")
    for number, each in enumerate(index[0]["parameters"]):
        assert held[f"p{number}"].shape == tuple(each["shape"]), each
        assert held[f"p{number}"].dtype == each["dtype"], each
    sequences, counts = held["sequences"], held["num_tokens"]
    assert [row[:count].tolist() for row, count in zip(sequences, counts, strict=True)] == reference


@pytest.fixture
def reference(kit: Path) -> list[list[int]]:
    """transformers' greedy answers to the kit's prompts, without padding."""
    import torch
    from transformers import AutoModelForCausalLM

    from exporter.demo import demo_path

    held, answers = np.load(kit / "demo.npz"), []
    model = AutoModelForCausalLM.from_pretrained(demo_path("stories"))
    for tokens, length in zip(held["p0"], held["p1"], strict=True):
        prompt = torch.tensor(tokens[-length:][None].astype(np.int64))
        answer = model.generate(prompt, do_sample=False, max_new_tokens=24, pad_token_id=0)
        answers.append(answer[0, length:].tolist())
    return answers


def test_a_kit_that_is_too_large_is_refused(
    kit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from scripts.benchmarks.gpu_kit import kit as module

    monkeypatch.setattr(module, "write_demo", lambda directory: {"name": "demo"})
    with pytest.raises(KitTooLargeError, match=r"at most 1,000"):
        write_kit(tmp_path, (), limit=1000)


def test_weights_of_8b_shapes_are_counted_without_allocating_them() -> None:
    """Llama 3.1 8B has 8,030,261,248 numbers; a step reads all but the embedding."""
    infos = weight_infos(CASES[0], read_spec(CASES[0].config))
    assert sum(info.nbytes for info in infos.values()) == 2 * 8_030_261_248
    read = step_bytes(read_spec(CASES[0].config), infos, CASES[0])
    assert read == 2 * (8_030_261_248 - 128256 * 4096)


def test_a_mixture_reads_the_experts_that_its_tokens_choose() -> None:
    """Of 30B-A3B's 30.5 billion numbers about 3.3 billion take part in a token, 0.3 of them the embedding."""
    case = next(case for case in CASES if case.shape == "qwen3-30b-a3b")
    spec = read_spec(case.config)
    infos = weight_infos(case, spec)
    assert sum(info.nbytes for info in infos.values()) / 2 == pytest.approx(30.5e9, rel=0.01)
    assert step_bytes(spec, infos, case) / 2 == pytest.approx(3.04e9, rel=0.02)


def test_every_target_names_cases_of_the_kit() -> None:
    """A target that asked for a case of another name would never be met or missed."""
    results = _made_up({case.name: 1.0 for case in CASES})
    assert all(target.figure(results) > 0 for target in report.TARGETS)
    assert len({case.name for case in CASES}) == len(CASES)
    assert len({case.name for case in tiny_cases()}) >= len(CASES) - 1


def _made_up(speeds: dict[str, float]) -> dict[str, Any]:
    """Results that no card has given: tokens a second by case, one a second from PyTorch."""
    greedy = report._GREEDY
    torch = {"first_token_seconds": 1.0, "step_seconds": 1.0, "tokens_per_second": 1.0}
    return {
        "command": "python run.py",
        "date": "2000-01-01",
        "rehearsal": False,
        "kit": {"genserve": "0"},
        "card": {"name": "Abacus", "memory.total": "3 MiB", "driver_version": "1.2"},
        "machine": {"bandwidth": 1e9, "flops": 1e12, "versions": {"jax": "9"}},
        "facts": {name: {"step_bytes": 8e8, "prefill_flops": 5e11} for name in speeds},
        "cases": {
            name: {
                "compile_seconds": 1.0,
                "first_token_seconds": 0.75,
                "step_seconds": 1.0,
                "tokens_per_second": speed,
            }
            for name, speed in speeds.items()
        },
        "torch": {greedy: {"versions": {"torch": "8"}, "modes": {"eager": torch, "torch.compile": torch}}},
        "skipped": ["jax: something"],
    }


def test_the_page_says_which_targets_are_met() -> None:
    results = _made_up({report._GREEDY: 2.0, report._INT8: 4.0, "llama3.1-8b.bfloat16.greedy.b1.p1024": 1.0})
    results["cases"]["broken"] = {"error": "RuntimeError: a|b"}
    lines = report.page(results).splitlines()
    assert "| 8B bfloat16, greedy, batch 1: of what bandwidth allows | >= 0.75 x | 0.80 x | yes |" in lines
    assert "| ... against PyTorch eager | >= 3.0 x | 2.00 x | no |" in lines
    assert "| int8 against bfloat16, batch 1 | >= 1.5 x | 2.00 x | yes |" in lines
    assert "| first token of 1,024, in times of the arithmetic limit | <= 2.0 x | 1.50 x | yes |" in lines
    assert "| batch 32 against batch 1 | >= 10.0 x | – | – |" in lines
    assert "- card: Abacus, 3 MiB" in lines
    assert "- versions: genserve 0, jax 9, torch 8" in lines
    assert "- jax: something" in lines
    assert any(line.startswith("| broken | failed: RuntimeError: a/b") for line in lines)


def test_a_rehearsal_says_what_ran_and_with_what_but_no_figure(tmp_path: Path) -> None:
    names = ["demo", "good", "bad", "late"]
    results = _made_up(dict.fromkeys(names, 123.0)) | {"rehearsal": True, "skipped": ["jax: late"]}
    results["cases"] = results["cases"] | {"bad": {"error": "ValueError: no"}, "demo": {"equal": True}}
    del results["cases"]["late"]
    (tmp_path / "results.json").write_text(json.dumps(results))
    page = tmp_path / "page.md"
    assert report.main([str(tmp_path / "results.json"), "--output", str(page)]) == 0
    text = page.read_text()
    assert "No figure from a GPU exists yet" in text
    lines = text.splitlines()
    assert "- date: 2000-01-01, command: `python run.py`" in lines
    assert "- versions: genserve 0, jax 9, torch 8" in lines
    assert "- programs that ran to their end: 2 of 4" in lines
    assert "- models in one of PyTorch's modes that did: 2 of 2" in lines
    assert "- the demo's answers: those of the exported SavedModel" in lines
    assert "- failed: bad: ValueError: no" in lines
    assert "- not run, the time was over: jax: late" in lines
    assert "123" not in text
    results["cases"]["demo"]["equal"] = False
    assert "**not those of the SavedModel**" in report.page(results)


def test_without_results_the_page_says_so(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    assert report.main(["--output", str(page)]) == 0
    assert "No figure from a GPU exists yet" in page.read_text()


def test_a_case_without_time_is_named(kit: Path, tmp_path: Path) -> None:
    """Without a second nothing is started, jax or not."""
    output = tmp_path / "results.json"
    command = [sys.executable, kit / "run.py", "--rehearse", "--seconds", "0", "--output", output]
    assert subprocess.run(command, check=False, capture_output=True).returncode == 0
    results = json.loads(output.read_text())
    assert results["cases"] == {}
    assert len(results["skipped"]) == 2


def test_the_committed_page_is_up_to_date() -> None:
    """Its words and targets are the report's; what a run or a rehearsal found stands between them."""
    text = (ROOT / "docs" / "performance-gpu.md").read_text(encoding="utf-8")
    for part in (report._INTRODUCTION, report._HOW):
        assert part.strip() in text
    assert all(f"| {target.words} | " in text for target in report.TARGETS)
