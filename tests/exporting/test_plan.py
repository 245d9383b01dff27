"""What an export decides before weights are read."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter.demo import demo_path
from exporter.errors import CheckpointError, GenserveError, OptionError
from exporter.exporting.plan import MANY_COMPILATIONS, Plan, plan_export, plan_job
from exporter.options import Job, make_options, read_job


def _plan(tmp_path: Path, **values: Any) -> Plan:
    return plan_export(make_options({"model": "demo:stories", **values}), tmp_path)


def test_it_writes_nothing_and_loads_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from exporter.options import make_options\n"
        "from exporter.exporting.plan import plan_export\n"
        f"plan_export(make_options({{'model': 'demo:stories'}}), Path({str(tmp_path)!r}))\n"
        "print({'tensorflow', 'transformers', 'torch', 'keras'} & set(sys.modules))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"
    assert list(tmp_path.iterdir()) == []


def test_a_broken_tokenizer_is_known_before_weights_are_read(tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(demo_path("stories"), model)
    (model / "tokenizer.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"tokenizer\.json"):
        plan_export(make_options({"model": str(model)}), tmp_path)


def test_compilations_are_programs_times_buckets(tmp_path: Path) -> None:
    """Two signatures of equal options share a program; beams are another one."""
    values: dict[str, Any] = {
        "prompt_lengths": [16, 48],
        "batch_sizes": [1, 2, 4],
        "signatures": {"same": {}, "beams": {"num_beams": 2}},
        "extra_signatures": ["generate", "score", "next_token"],
    }
    report = _plan(tmp_path, **values).report()
    assert report["programs"] == dict.fromkeys(("tokens", "beams", "generate", "score", "next_token"), 6)
    assert report["compilations"] == 30
    assert report["warmup_records"] == 30 + len(report["signatures"])


def test_many_compilations_are_warned_about_with_the_flag_to_change(tmp_path: Path) -> None:
    few, many = _plan(tmp_path), _plan(tmp_path, pad_to_multiple_of=4)
    assert sum(few.compilations.values()) <= MANY_COMPILATIONS
    assert few.warnings == ()
    (warning,) = many.warnings
    assert "192 compilations (2 programs for 48 prompt lengths and 2 batch sizes)" in warning
    assert "--pad-to-multiple-of" in warning


def test_keys_and_values_grow_with_length_rows_and_beams(tmp_path: Path) -> None:
    """4 layers x keys and values x 128 numbers x (length + new tokens a sequence) x 4 bytes."""
    plan = _plan(tmp_path, max_new_tokens=10, prompt_lengths=[32], batch_sizes=[3])
    beams = _plan(tmp_path, max_new_tokens=10, prompt_lengths=[32], generation={"num_beams": 4})
    layers = len(plan.spec.decoder.layers)
    width = plan.spec.hidden_size
    assert plan.cache_bytes(32, 3) == 3 * layers * 2 * width * (32 + 10) * 4
    assert beams.cache_bytes(32, 1) == layers * 2 * width * (32 + 4 * 10) * 4
    half = _plan(tmp_path, max_new_tokens=10, prompt_lengths=[32], dtype="bfloat16")
    assert half.cache_bytes(32, 3) * 2 == plan.cache_bytes(32, 3)
    assert half.memory.weights_bytes * 2 == plan.memory.weights_bytes


def test_resume_has_a_length_more_and_says_what_it_costs(tmp_path: Path) -> None:
    """Prompts with their answers: up to 48 + 10 tokens, and a piece of 4 behind them."""
    values = {"max_new_tokens": 10, "prompt_lengths": [16, 48], "batch_sizes": [1, 3]}
    plan = _plan(tmp_path, **values, extra_signatures=["generate_tokens", "resume"], resume_piece=4)
    report = plan.report()
    assert report["programs"] == {"tokens": 4, "generate_tokens": 4, "resume": 6}
    assert report["compilations"] == 14
    warm = [(record.program, record.length) for record in plan.records if record.signature == "warm_up"]
    resume = list(report["programs"]).index("resume")
    assert {length for program, length in warm if program == resume} == {16, 48, 58}
    assert {length for program, length in warm if program != resume} == {16, 48}
    layers, width = len(plan.spec.decoder.layers), plan.spec.hidden_size
    sizes = {(entry["batch_size"], entry["prompt_length"]): entry["bytes"] for entry in report["cache_bytes"]}
    assert sizes[3, 58] == 3 * layers * 2 * width * (58 + 4) * 4
    assert sizes[1, 48] == layers * 2 * width * (48 + 10) * 4
    assert plan.memory.cache_bytes_per_row == sizes[1, 58]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("resume", "an encoder-decoder model's answers cannot go on"),
        ("prompt_logprobs", "an encoder-decoder model's encoder reads the prompt and predicts none of it"),
    ],
)
def test_what_only_a_decoder_answers_is_refused_by_name(tmp_path: Path, name: str, reason: str) -> None:
    with pytest.raises(OptionError, match=f"extra_signatures: {name}: {reason}"):
        plan_export(make_options({"model": "demo:translate", "extra_signatures": [name]}), tmp_path)


def _job(tmp_path: Path, *models: dict[str, Any]) -> Job:
    return Job(output=tmp_path / "out", exports=tuple(make_options(model) for model in models))


def test_models_of_one_name_take_numbers_one_after_the_other(tmp_path: Path) -> None:
    model = {"model": "demo:stories"}
    assert [plan.version for plan in plan_job(_job(tmp_path, model, model, model))] == [1, 2, 3]


def test_everything_that_cannot_be_done_is_said_before_anything_is(tmp_path: Path) -> None:
    job = _job(
        tmp_path,
        {"model": "demo:stories", "max_new_tokens": 100_000},
        {"model": "demo:stories"},
        {"model": str(tmp_path), "name": "nothing"},
    )
    with pytest.raises(GenserveError, match=r"(?s)100000.*no config\.json") as caught:
        plan_job(job)
    assert caught.value.exit_code == OptionError.exit_code
    assert not (tmp_path / "out").exists()


def test_generation_options_of_flags_join_those_of_the_job(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    defaults = {"generation": {"top_k": 5, "do_sample": True}}
    entry = {"model": "demo:stories", "generation": {"top_k": 7, "temperature": 0.5}}
    path.write_text(yaml.safe_dump({"output": "out", "defaults": defaults, "models": [entry]}))
    (options,) = read_job(path, None, {"generation": {"temperature": 0.9}}).exports
    assert options.generation == {"top_k": 7, "do_sample": True, "temperature": 0.9}


def test_dry_run_prints_every_model_of_a_job(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    models = [{"model": "demo:stories"}, {"model": "demo:translate", "max_new_tokens": 8}]
    path.write_text(yaml.safe_dump({"output": str(tmp_path / "out"), "models": models}))
    command = [sys.executable, "-m", "exporter", "export", "--config", str(path), "--dry-run", "--json"]
    printed = json.loads(subprocess.check_output(command, text=True))
    assert [(plan["model_type"], plan["max_new_tokens"]) for plan in printed] == [("gpt2", 64), ("t5", 8)]
    assert not (tmp_path / "out").exists()
