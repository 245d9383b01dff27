"""What a checkpoint's files choose and an export does not follow: said in plan, inspect and manifest."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from exporter.cli import app
from exporter.errors import UnsupportedError
from exporter.exporting.generation_settings import DEFAULT_MAX_NEW_TOKENS
from exporter.exporting.golden import GOLDEN_TOKENS
from exporter.exporting.plan import plan_export
from exporter.inspection import inspect_checkpoint
from exporter.options import make_options
from tests.families import reference
from tests.families.cases import BY_TYPE

UNREAD = {"is_llama_config": True, "rope_interleaved": False, "auto_map": {"AutoConfig": "x.Y"}}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Llama without an end-of-sequence token."""
    family = BY_TYPE["llama"]
    path = reference.save(reference.build(family, family.cases[0]), tmp_path_factory.mktemp("llama"))
    changes = {"eos_token_id": None, "pad_token_id": 0, "max_position_embeddings": 4096, **UNREAD}
    reference.edit_config(path, changes)
    return path


@pytest.fixture
def checkpoint(built: Path) -> Iterator[Path]:
    """The same, whose generation_config.json a test writes."""
    yield built
    (built / "generation_config.json").unlink(missing_ok=True)


def options(checkpoint: Path, **changes: Any) -> Any:
    fixed = {"tokenizer": "none", "prompt_lengths": [8], "batch_sizes": [1], "warmup": "none"}
    return make_options({"model": str(checkpoint), "name": "tiny", **fixed, **changes})


def write(checkpoint: Path, **settings: Any) -> None:
    (checkpoint / "generation_config.json").write_text(json.dumps({"eos_token_id": [95, 96], **settings}))


@pytest.mark.parametrize(("key", "value"), [("max_new_tokens", 131072), ("max_length", 8192)])
def test_a_cap_of_the_files_is_bounded_and_said(
    checkpoint: Path, tmp_path: Path, key: str, value: int
) -> None:
    write(checkpoint, **{key: value})
    plan = plan_export(options(checkpoint), tmp_path)
    assert plan.generation.max_new_tokens == DEFAULT_MAX_NEW_TOKENS
    (note,) = [note for note in plan.notes if "new tokens" in note]
    assert f"at most {DEFAULT_MAX_NEW_TOKENS} new tokens" in note
    assert f"{key}={value}" in note
    assert plan.report()["notes"] == list(plan.notes)


@pytest.mark.parametrize(
    "asked", [{"max_new_tokens": 2000}, {"generation": {"max_new_tokens": 2000}}, {"max_new_tokens": 64}]
)
def test_what_the_caller_asks_counts(checkpoint: Path, tmp_path: Path, asked: dict[str, Any]) -> None:
    write(checkpoint, max_new_tokens=131072)
    plan = plan_export(options(checkpoint, **asked), tmp_path)
    assert plan.generation.max_new_tokens == asked.get("max_new_tokens", 2000)
    assert not [note for note in plan.notes if "new tokens" in note]


def test_a_small_cap_of_the_files_is_followed(checkpoint: Path, tmp_path: Path) -> None:
    write(checkpoint, max_length=30)
    plan = plan_export(options(checkpoint), tmp_path)
    assert (plan.generation.max_new_tokens, plan.generation.max_length) == (29, 30)
    assert not [note for note in plan.notes if "new tokens" in note]


def test_keys_that_are_not_read_are_said(checkpoint: Path, tmp_path: Path) -> None:
    plan = plan_export(options(checkpoint), tmp_path)
    ignored, own_code = plan.notes
    assert ignored.endswith("does not read are ignored: is_llama_config, pretraining_tp, rope_interleaved")
    assert own_code.startswith(
        "auto_map of config.json names code of the checkpoint's own, which is never run"
    )
    report = str(inspect_checkpoint(checkpoint))
    assert f"note           {ignored}\n" in report
    assert f"note           {own_code}\n" in report


def test_quantised_weights_are_not_offered_to_be_ignored(checkpoint: Path) -> None:
    config = checkpoint / "config.json"
    before = config.read_text()
    reference.edit_config(checkpoint, {"quantization": {"bits": 4, "group_size": 32}})
    try:
        report = inspect_checkpoint(checkpoint)
    finally:
        config.write_text(before)
    assert "quantization={'bits': 4, 'group_size': 32}: the weights are quantised by MLX" in report.reason
    assert "--ignore-config-key" not in report.reason
    assert UnsupportedError.exit_code == 4


@pytest.mark.end_to_end
def test_golden_answers_end_whatever_the_cap(checkpoint: Path, tmp_path: Path) -> None:
    import tensorflow as tf

    from exporter.exporting.pipeline import export
    from exporter.verification import verify_version

    result = export(options(checkpoint, max_new_tokens=300), tmp_path)
    manifest = result.manifest
    (golden,) = manifest.golden
    assert golden.max_new_tokens == GOLDEN_TOKENS
    assert golden.outputs["num_tokens"] == [GOLDEN_TOKENS]
    assert verify_version(result.directory) == 1
    assert manifest.model.unread_config_keys == (*sorted({*UNREAD, "pretraining_tp"}),)
    assert len(manifest.notes) == 2
    signature = tf.saved_model.load(str(result.directory)).signatures["tokens"]
    ids, count = golden.inputs["input_ids"], golden.inputs["num_tokens"]
    answer = signature(input_ids=tf.constant(ids), num_tokens=tf.constant(count))
    assert answer["num_tokens"].numpy().tolist() == [300], "the version itself goes to its cap"
    begun = golden.outputs["generated_ids"][0][:GOLDEN_TOKENS]
    assert answer["generated_ids"].numpy()[0, :GOLDEN_TOKENS].tolist() == begun


@pytest.mark.end_to_end
def test_a_version_that_was_not_verified_says_so(checkpoint: Path, tmp_path: Path) -> None:
    from exporter.exporting.pipeline import NOT_VERIFIED, export
    from exporter.verification import verify

    result = export(options(checkpoint, verify="none"), tmp_path)
    assert result.manifest.golden == ()
    assert result.manifest.measured is None
    assert NOT_VERIFIED in result.manifest.notes
    checks = {check.name: check for check in verify(result.directory).checks}
    assert not [check for check in checks.values() if check.status == "failed"]
    assert checks["load"].status == checks["files"].status == "passed"
    assert checks["golden answers"].status == "skipped"
    assert "--verify none" in checks["golden answers"].detail


@pytest.mark.parametrize("value", [42, "linear", ["linear", 2.0], {"type": "linear", "factor": None}])
def test_a_value_of_a_wrong_type_ends_the_command_with_4(tmp_path: Path, value: Any) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama", "rope_scaling": value}))
    inspected = CliRunner().invoke(app, ["inspect", str(tmp_path)])
    assert inspected.exit_code == UnsupportedError.exit_code
    assert " must be a" in inspected.stdout
    exported = CliRunner().invoke(app, ["export", str(tmp_path), str(tmp_path / "out")])
    assert isinstance(exported.exception, UnsupportedError), "which the program turns into its exit code"
    assert "rope_scaling" in str(exported.exception)
