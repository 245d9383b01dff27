"""Experts as checkpoints store them: apart, joined by version 5 of the reference, packed in MXFP4."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers.integrations.mxfp4 import convert_moe_packed_tensors

from exporter.checkpoint import Checkpoint
from exporter.errors import CheckpointError
from exporter.families import FAMILIES as READERS
from exporter.families import read_spec
from exporter.inspection import inspect_checkpoint
from tests.families import reference
from tests.families.case import marked
from tests.families.cases import FAMILIES, Case, FamilyCases
from tests.families.conftest import Built
from tests.families.test_checkpoints import assert_same, weights_of

Builder = Callable[[FamilyCases, Case], Built]
BY_TYPE = {family.model_type: family for family in FAMILIES}


# One of each way to name them in the quick run.
QUICK = {"mixtral", "qwen3_moe", "glm4_moe", "granitemoe"}
#: Published with experts apart; the reference (5.24) saves them joined, and joins those of glm4v_moe alone.
JOINED_ALONE = ("glm46v", "glmga")


def with_two_layouts() -> list[Any]:
    """Every case whose names know another way to store its experts; one of a family in the quick run."""
    found = []
    for family in (family for family in FAMILIES if family.model_type not in JOINED_ALONE):
        for index, case in enumerate(family.cases):
            spec = read_spec({"model_type": family.model_type, **family.base, **case.config})
            if READERS[family.model_type].names_for(spec).joined:
                later = marked(index > 0 or family.model_type not in QUICK)
                found.append(pytest.param(family, case, id=f"{family.model_type}-{index}", marks=later))
    return found


@pytest.mark.parametrize(("family", "case"), with_two_layouts())
def test_joined_experts_are_those_stored_apart(
    build: Builder, tmp_path: Path, family: FamilyCases, case: Case
) -> None:
    built = build(family, case)
    path = reference.save(built.oracle, tmp_path, save_original_format=False)
    stored = Checkpoint(path).tensors
    assert any(name.endswith("experts.gate_up_proj") for name in stored)
    assert not any("experts.0." in name for name in stored)
    assert stored.keys() != Checkpoint(built.path).tensors.keys()
    assert_same(weights_of(path), weights_of(built.path))


@pytest.mark.full
@pytest.mark.parametrize("model_type", JOINED_ALONE)
def test_experts_apart_that_the_reference_saves_joined(
    build: Builder, tmp_path: Path, model_type: str
) -> None:
    family = BY_TYPE[model_type]
    built = build(family, family.cases[1])
    path = Path(shutil.copytree(built.path, tmp_path / "apart"))
    apart: dict[str, torch.Tensor] = {}
    for name, tensor in load_file(path / "model.safetensors").items():
        place, _, part = name.rpartition(".experts.")
        parts = {"gate_up_proj": ("gate_proj", "up_proj"), "down_proj": ("down_proj",)}.get(part, ())
        if not place or not parts:
            apart[name] = tensor
            continue
        for index, expert in enumerate(tensor):
            for key, value in zip(parts, expert.chunk(len(parts)), strict=True):
                apart[f"{place}.experts.{index}.{key}.weight"] = value.contiguous()
    assert any("experts.5.up_proj" in name for name in apart)
    save_file(apart, path / "model.safetensors", {"format": "pt"})
    assert_same(weights_of(path), weights_of(built.path))


def test_experts_that_may_lie_either_way_are_turned(build: Builder, tmp_path: Path) -> None:
    """Published Qwen3-VL mixtures store [experts, in, out], which the reference turns while it loads."""
    family = BY_TYPE["qwen3_vl_moe"]
    built = build(family, family.cases[0])
    path = Path(shutil.copytree(built.path, tmp_path / "turned"))
    tensors = load_file(path / "model.safetensors")
    downs = [name for name in tensors if name.endswith("experts.down_proj")]
    assert downs
    assert all(tensors[name].shape[1] != tensors[name].shape[2] for name in downs)
    turned = {name: tensors[name].transpose(1, 2).contiguous() for name in downs}
    save_file({**tensors, **turned}, path / "model.safetensors", {"format": "pt"})
    assert_same(weights_of(path), weights_of(built.path))


def test_joined_experts_are_accounted_for(build: Builder, tmp_path: Path) -> None:
    family = BY_TYPE["mixtral"]
    path = reference.save(build(family, family.cases[0]).oracle, tmp_path, save_original_format=False)
    tensors = load_file(path / "model.safetensors")
    lost = next(name for name in tensors if name.endswith("experts.down_proj"))
    del tensors[lost]
    tensors["model.layers.0.mlp.experts.0.w1.weight"] = torch.zeros(2, 2)
    save_file(tensors, path / "model.safetensors")
    with pytest.raises(CheckpointError) as caught:
        weights_of(path)
    assert f"missing: {lost} " in str(caught.value)
    assert "unused: model.layers.0.mlp.experts.0.w1.weight " in str(caught.value)
    assert len(str(caught.value).splitlines()) == 3


def packed(path: Path) -> tuple[Any, dict[str, torch.Tensor]]:
    """A gpt-oss model whose experts are random blocks and scales, and its tensors as they are published."""
    family = BY_TYPE["gpt_oss"]
    case = Case("mxfp4", {"hidden_size": 64, "intermediate_size": 32, "num_local_experts": 3})
    oracle = reference.build(family, case)
    oracle.save_pretrained(path)
    tensors = dict(load_file(path / "model.safetensors"))
    generator = torch.Generator().manual_seed(7)
    experts = [name for name in tensors if name.endswith(("gate_up_proj", "down_proj"))]
    for name in experts:
        count, inputs, outputs = tensors.pop(name).shape
        shape = (count, outputs, inputs // 32)
        blocks = torch.randint(0, 256, (*shape, 16), generator=generator, dtype=torch.uint8)
        scales = torch.randint(118, 126, shape, generator=generator, dtype=torch.uint8)
        tensors |= {f"{name}_blocks": blocks, f"{name}_scales": scales}
        whole = convert_moe_packed_tensors(blocks, scales, dtype=torch.float32)
        oracle.get_parameter(name).data.copy_(whole)
    save_file(tensors, path / "model.safetensors")
    config = json.loads((path / "config.json").read_text())
    config["quantization_config"] = {
        "quant_method": "mxfp4",
        "modules_to_not_convert": ["model.layers.*.self_attn", "model.layers.*.mlp.router", "lm_head"],
    }
    (path / "config.json").write_text(json.dumps(config))
    return oracle, tensors


def test_mxfp4_experts_equal_the_reference_dequantised(tmp_path: Path) -> None:
    oracle, tensors = packed(tmp_path / "packed")
    oracle.save_pretrained(tmp_path / "whole")
    ours, whole = weights_of(tmp_path / "packed"), weights_of(tmp_path / "whole")
    assert_same(ours, whole)
    assert len(np.unique(ours["layers.0.moe.up.kernel"])) > 20
    report = inspect_checkpoint(tmp_path / "packed")
    assert report.supported, report.reason
    pairs = [tensor for name, tensor in tensors.items() if name.endswith(("_blocks", "_scales"))]
    assert report.stored["MXFP4"] == sum(tensor.numel() for tensor in pairs)
    assert report.parameters == inspect_checkpoint(tmp_path / "whole").parameters


def test_blocks_that_do_not_fit_their_scales(tmp_path: Path) -> None:
    _, tensors = packed(tmp_path)
    name = next(name for name in tensors if name.endswith("down_proj_scales"))
    save_file({**tensors, name: tensors[name][:, 1:].contiguous()}, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"down_proj_blocks .* are not MXFP4"):
        weights_of(tmp_path)
    save_file({key: value for key, value in tensors.items() if key != name}, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=f"unused: {name.replace('_scales', '_blocks')}"):
        weights_of(tmp_path)
