"""Where the tokenizer of a version comes from: the checkpoint's files, or those of a merged adapter."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import save_file

from exporter.demo import demo_path
from exporter.file_hashes import file_infos
from exporter.manifest import AdapterInfo, Manifest
from exporter.verification.tokenizer import tokenizer_sample
from tests.serving_configs.manifests import manifest

TOKENIZER = ("tokenizer.json", "tokenizer_config.json")
CONFIG: dict[str, Any] = {"peft_type": "LORA", "r": 1, "lora_alpha": 1, "target_modules": ["c_attn"]}


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    base, path = Path(demo_path("stories")), tmp_path / "adapter"
    path.mkdir()
    (path / "adapter_config.json").write_text(json.dumps({**CONFIG, "base_model_name_or_path": str(base)}))
    save_file({}, path / "adapter_model.safetensors")
    for name in TOKENIZER:
        shutil.copyfile(base / name, path / name)
    return path


def version(adapter: Path) -> Manifest:
    base, known = Path(demo_path("stories")), manifest()
    names = ("adapter_config.json", "adapter_model.safetensors", *TOKENIZER)
    info = AdapterInfo(source=str(adapter), base=str(base), files=file_infos(adapter, names))
    return known.model_copy(
        update={
            "tokenizer": "ByteLevel BPE",
            "model": known.model.model_copy(update={"source": str(adapter)}),
            "adapter": info,
            "sources": file_infos(base, ("config.json", *TOKENIZER)),
        }
    )


def test_the_sample_is_the_adapters_tokenizers(adapter: Path) -> None:
    made = version(adapter)
    sample = tokenizer_sample(made)
    assert sample.texts
    assert not sample.why_not
    (adapter / "tokenizer_config.json").write_text("{}")
    assert tokenizer_sample(made).why_not.endswith(
        "adapter/tokenizer_config.json is not the file that was exported"
    )


def test_an_adapter_whose_base_is_elsewhere(adapter: Path) -> None:
    made = version(adapter)
    assert made.adapter is not None
    gone = made.model_copy(update={"adapter": made.adapter.model_copy(update={"base": "them/base"})})
    assert tokenizer_sample(gone).why_not == "them/base is not on this machine"
