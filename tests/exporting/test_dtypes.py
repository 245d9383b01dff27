"""Which type a version computes in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from exporter.checkpoint import Checkpoint
from exporter.exporting.dtypes import resolve_dtype
from exporter.exporting.plan import plan_export
from exporter.options import make_options

HALF, WHOLE = torch.zeros(3, 4, dtype=torch.bfloat16), torch.zeros(2, 5)


def _resolved(path: Path, config: dict[str, Any], tensors: dict[str, torch.Tensor], **options: Any) -> str:
    (path / "config.json").write_text(json.dumps(config))
    save_file(tensors, path / "model.safetensors")
    return resolve_dtype(make_options({"model": str(path), **options}), Checkpoint(path))


@pytest.mark.parametrize(
    ("config", "tensors", "expected"),
    [
        ({"dtype": "float16"}, {"a": WHOLE}, "float16"),
        ({"torch_dtype": "bfloat16"}, {"a": WHOLE}, "bfloat16"),
        ({"dtype": None, "torch_dtype": "torch.float16"}, {"a": WHOLE}, "float16"),
        ({"dtype": None, "text_config": {"dtype": "bfloat16"}}, {"a": WHOLE}, "bfloat16"),
        # Nothing that a model computes in is named: what most of the stored numbers have.
        ({"dtype": "auto"}, {"a": HALF, "b": WHOLE}, "bfloat16"),
        ({}, {"a": HALF, "b": WHOLE, "c": WHOLE.clone()}, "float32"),
        ({}, {"a": HALF, "ids": torch.zeros(9, 9, dtype=torch.int64)}, "bfloat16"),
        ({}, {"a": WHOLE.double()}, "float32"),
        # Quantised weights do not say what their model computed in.
        ({}, {"a": WHOLE.to(torch.float8_e4m3fn)}, "bfloat16"),
        ({"quantization_config": {"quant_method": "gptq"}}, {"a": WHOLE}, "bfloat16"),
        ({"torch_dtype": "float16", "quantization_config": {}}, {"a": WHOLE}, "float16"),
    ],
)
def test_auto_is_the_checkpoints_own(
    tmp_path: Path, config: dict[str, Any], tensors: dict[str, torch.Tensor], expected: str
) -> None:
    assert _resolved(tmp_path, config, tensors) == expected
    assert _resolved(tmp_path, config, tensors, target="cpu") == "float32"
    assert _resolved(tmp_path, config, tensors, target="cpu", dtype="float16") == "float16"
    assert _resolved(tmp_path, config, tensors, dtype="float32") == "float32"


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_auto_is_what_transformers_loads(tmp_path: Path, dtype: torch.dtype) -> None:
    from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel

    config = GPT2Config(vocab_size=9, n_embd=8, n_layer=1, n_head=2, n_positions=16)
    GPT2LMHeadModel(config).to(dtype).save_pretrained(tmp_path)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path, dtype="auto").dtype
    ours = resolve_dtype(make_options({"model": str(tmp_path)}), Checkpoint(tmp_path))
    assert f"torch.{ours}" == str(theirs)
    options = {"model": str(tmp_path), "tokenizer": "none", "name": "m", "max_new_tokens": 4}
    plan = plan_export(make_options(options), tmp_path / "out")
    assert plan.report()["dtype"] == str(dtype).removeprefix("torch.")
    item = 4 if dtype is torch.float32 else 2
    assert plan.memory.weights_bytes == plan.parameters * item
