"""Every family's checkpoints as they are met: old configs, bare base models, shards; and broken ones."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers
from safetensors.numpy import load_file, save_file

from exporter.checkpoint import Checkpoint
from exporter.errors import CheckpointError, UnsupportedError
from exporter.families import FAMILIES as READERS
from exporter.families import load_weights, read_spec
from exporter.families.names import Names
from tests.families import reference
from tests.families.case import first_cases
from tests.families.cases import FAMILIES, Case, FamilyCases
from tests.families.conftest import Built

FIRST = first_cases(FAMILIES)
#: Keys without a default with which a model of the reference runs.
REQUIRED: dict[str, dict[str, Any]] = {
    "cohere_compass": {"text_config": {"rope_parameters": {"full_attention": {"rope_theta": 1e4}}}},
    "cohere_compass_text": {"rope_parameters": {"full_attention": {"rope_theta": 1e4}}},
    "deepseek_ocr2": {
        "text_config": {"num_experts_per_tok": 6, "mlp_layer_types": ["dense"] + ["sparse"] * 31}
    },
    "deepseek_v2": {"num_experts_per_tok": 6},
    "dots1": {"n_routed_experts": 8, "n_shared_experts": 1, "num_experts_per_tok": 2},
    "hunyuan_vl": {
        "text_config": {
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [16] * 4}
        }
    },
    "lfm2_moe": {"layer_types": ["conv", "full_attention"] * 16},
    "ovis2": {"hidden_size": 4096, "vocab_size": 151936},
    "qwen3_omni_moe_thinker": {"text_config": {"num_attention_heads": 32}},
}
#: The reference's renames of these take another prefix for an old checkpoint's.
OWN_PREFIX = {
    "hunyuan_vl",
    "paddleocr_vl",
    "qwen2_5_omni_thinker",
    "qwen2_5_vl",
    "qwen2_vl",
    "qwen3_omni_moe_thinker",
}
#: The reference's classes of these tie nothing.
NEVER_TIED = {
    "audioflamingo3",
    "cosmos3_edge",
    "musicflamingo",
    "nemotron_h",
    "nemotron_h_omni",
    "omniasr",
    "qwen2_audio",
    "vibevoice_asr",
    "voxtral",
}
Builder = Callable[[FamilyCases, Case], Built]


def weights_of(path: Path) -> dict[str, Any]:
    checkpoint = Checkpoint(path)
    # Read now: the files change while a test compares.
    return dict(load_weights(read_spec(checkpoint.config), checkpoint, np.float32))


def copy_of(path: Path, target: Path) -> dict[str, Any]:
    """Copies a checkpoint; returns its tensors, to be changed and saved by ``put``."""
    shutil.copytree(path, target, dirs_exist_ok=True)
    return load_file(target / "model.safetensors")


def renamed(names: Names, tensors: dict[str, Any]) -> dict[str, Any]:
    """The tensors by the names of the reference's class, where a published checkpoint has others."""
    for pattern, replacement in names.renames:
        tensors = {re.sub(pattern, replacement, name, count=1): value for name, value in tensors.items()}
    return tensors


def put(path: Path, tensors: dict[str, Any]) -> None:
    save_file(tensors, path / "model.safetensors")


def assert_same(ours: dict[str, Any], expected: dict[str, Any]) -> None:
    assert ours.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(ours[name], value, err_msg=name)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.model_type)
def test_every_case_agrees_with_the_reference_on_defaults(family: FamilyCases) -> None:
    import transformers

    config_class = getattr(transformers, family.config_class)
    required = REQUIRED.get(family.model_type, {})
    bare = {"model_type": family.model_type, **required}
    assert read_spec(bare) == read_spec(config_class(**required).to_dict())


@pytest.mark.parametrize(("family", "case"), FIRST)
def test_version_4_config(build: Builder, tmp_path: Path, family: FamilyCases, case: Case) -> None:
    built = build(family, case)
    copy_of(built.path, tmp_path)
    assert family.v4, "every family is read from a version 4 config.json too"
    reference.edit_config(tmp_path, family.v4, family.v4_removed)
    assert read_spec(Checkpoint(tmp_path).config) == built.ours.spec


@pytest.mark.parametrize(("family", "case"), FIRST)
def test_names_with_another_prefix(build: Builder, tmp_path: Path, family: FamilyCases, case: Case) -> None:
    built = build(family, case)
    names = READERS[family.model_type].names_for(built.ours.spec)
    tensors = renamed(names, copy_of(built.path, tmp_path))
    base = f"{names.base_prefix}."
    changes = [lambda name: name.removeprefix(base)]
    changes += [] if family.model_type in OWN_PREFIX else [lambda name: base + name]
    for change in changes:
        put(tmp_path, {change(name): value for name, value in tensors.items()})
        assert_same(weights_of(tmp_path), weights_of(built.path))


@pytest.mark.parametrize(("family", "case"), FIRST)
def test_shards(build: Builder, tmp_path: Path, family: FamilyCases, case: Case) -> None:
    built = build(family, case)
    reference.save(built.oracle, tmp_path, max_shard_size="20KB")
    assert (tmp_path / "model.safetensors.index.json").is_file()
    assert_same(weights_of(tmp_path), weights_of(built.path))


@pytest.mark.parametrize(
    ("family", "case"), first_cases(family for family in FAMILIES if family.model_type in NEVER_TIED)
)
def test_a_head_that_is_never_tied(build: Builder, family: FamilyCases, case: Case) -> None:
    assert not getattr(transformers, family.model_class)._tied_weights_keys
    config, ties = Checkpoint(build(family, case).path).config, {"tie_word_embeddings": True}
    inner = {"text_config": {**config["text_config"], **ties}} if "text_config" in config else {}
    assert not read_spec({**config, **ties, **inner}).head.tied


@pytest.mark.parametrize(
    ("family", "case"), first_cases(family for family in FAMILIES if family.model_type not in NEVER_TIED)
)
def test_tied_head_stored_or_not(build: Builder, tmp_path: Path, family: FamilyCases, case: Case) -> None:
    built = build(family, case)
    spec = built.ours.spec
    names = READERS[family.model_type].names_for(spec)
    tensors = renamed(names, copy_of(built.path, tmp_path))
    head, tokens = f"{names.head}.weight", f"{names.prefix}{names.tokens}.weight"
    tied = {**tensors, head: tensors[tokens].copy()}
    if not spec.head.tied:
        config, ties = Checkpoint(tmp_path).config, {"tie_word_embeddings": True}
        outer = ties if "tie_word_embeddings" in config else {}
        text = config.get("text_config")
        reference.edit_config(tmp_path, {**outer, "text_config": {**text, **ties}} if text else ties)
    without = {name: value for name, value in tied.items() if name != head}
    put(tmp_path, without)
    expected = weights_of(tmp_path)
    put(tmp_path, tied)
    assert_same(weights_of(tmp_path), expected)
    put(tmp_path, {name: value for name, value in tied.items() if name != tokens})
    assert_same(weights_of(tmp_path), expected)
    put(tmp_path, {**tied, head: tied[head] + 1})
    apart = weights_of(tmp_path)
    np.testing.assert_array_equal(apart["head.kernel"], tied[head].T + 1)
    np.testing.assert_array_equal(apart["embedding.tokens"], tied[tokens])


@pytest.mark.parametrize(("family", "case"), FIRST)
def test_missing_extra_and_misshapen_tensors_in_one_error(
    build: Builder, tmp_path: Path, family: FamilyCases, case: Case
) -> None:
    built = build(family, case)
    names = READERS[family.model_type].names_for(built.ours.spec)
    tensors = renamed(names, copy_of(built.path, tmp_path))
    left = (*names.unused, *(rf"^(model\.)?{tower}\." for tower in names.towers))
    read = [name for name in tensors if not any(re.search(pattern, name) for pattern in left)]
    missing, misshapen = sorted(name for name in read if tensors[name].ndim > 1)[:2]
    del tensors[missing]
    tensors[misshapen] = np.concatenate([tensors[misshapen], tensors[misshapen]])
    tensors["adapter.lora_A.weight"] = np.zeros([2, 2], np.float32)
    put(tmp_path, tensors)
    with pytest.raises(CheckpointError) as caught:
        weights_of(tmp_path)
    lines = str(caught.value).splitlines()[1:]
    assert len(lines) == 3
    assert lines[0].startswith(f"  - missing: {missing} ")
    assert lines[1].startswith(f"  - wrong shape: {misshapen} ")
    assert lines[2].startswith("  - unused: adapter.lora_A.weight ")


# Fuyu's patches are made by its num_channels.
@pytest.mark.parametrize(
    ("family", "case"), first_cases(family for family in FAMILIES if family.model_type != "fuyu")
)
def test_a_key_that_is_read_and_not_built(build: Builder, family: FamilyCases, case: Case) -> None:
    config = {
        **Checkpoint(build(family, case).path).config,
        "num_channels": 4,
        "kv_sharing_modes": [],
    }
    with pytest.raises(UnsupportedError) as caught:
        read_spec(config)
    text = str(caught.value)
    assert len(text.splitlines()) == 3
    assert "num_channels=4: the reference reads this key" in text
    assert "--ignore-config-key num_channels" in text
    passed = read_spec(config, ignore_config_keys=["num_channels", "kv_sharing_modes"])
    assert passed.ignored_config_keys == ("num_channels", "kv_sharing_modes")
