"""``inspect_checkpoint``: what a checkpoint is, told from its headers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from exporter.errors import CheckpointError
from exporter.inspection import inspect_checkpoint
from tests.families import reference
from tests.families.cases import BY_TYPE, Case, FamilyCases
from tests.families.conftest import Built

Builder = Callable[[FamilyCases, Case], Built]


@pytest.mark.parametrize("model_type", ["gpt2", "mistral", "mixtral"])
def test_parameters_are_those_of_the_reference(build: Builder, model_type: str) -> None:
    family = BY_TYPE[model_type]
    built = build(family, family.cases[0])
    report = inspect_checkpoint(built.path)
    assert report.supported
    assert report.reason == ""
    assert report.model_type == model_type
    assert report.parameters == sum(parameter.numel() for parameter in built.oracle.parameters())
    assert report.stored == {"F32": 4 * report.parameters}
    assert report.spec == built.ours.spec
    assert str(report).endswith("\nsupported")


def test_a_window_is_told(build: Builder) -> None:
    family = BY_TYPE["mistral"]
    text = str(inspect_checkpoint(build(family, family.cases[0]).path))
    assert "4 heads of 8, 2 of keys and values, rotary\n" in text
    assert "sliding window 4 in 2 of 2 layers" in text


def test_half_precision(build: Builder, tmp_path: Path) -> None:
    import torch

    family = BY_TYPE["gpt2"]
    model = reference.build(family, family.cases[0])
    reference.save(model.to(torch.bfloat16), tmp_path)
    report = inspect_checkpoint(tmp_path)
    assert report.stored == {"BF16": 2 * report.parameters}


def test_unsupported_model_type(build: Builder, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "lama"}))
    report = inspect_checkpoint(tmp_path)
    assert not report.supported
    assert report.spec is None
    assert report.parameters == 0
    assert "model_type 'lama' is not supported (did you mean 'llama'?)" in str(report)
    assert "has no weights" in report.reason, "both problems are told"


def test_tensors_that_do_not_fit(build: Builder, tmp_path: Path) -> None:
    family = BY_TYPE["gpt2"]
    reference.save(build(family, family.cases[0]).oracle, tmp_path)
    reference.edit_config(tmp_path, {"n_layer": 3})
    report = inspect_checkpoint(tmp_path)
    assert not report.supported
    assert "missing: transformer.h.2.ln_1.weight [32]" in report.reason
    assert report.parameters > 0
    assert "bytes of F32" in str(report)


def test_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"config\.json"):
        inspect_checkpoint(tmp_path)
