"""Checkpoints as they are met: old configs, base models, every way of storing shared tables; broken ones."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.numpy import load_file, save_file

from exporter.checkpoint import Checkpoint
from exporter.errors import CheckpointError, UnsupportedError
from exporter.families import load_weights, read_spec
from exporter.families.encoder_decoder import REFUSED
from tests.encoder_decoder import reference
from tests.encoder_decoder.cases import FAMILIES
from tests.families.case import Case, FamilyCases
from tests.families.conftest import Built, read
from tests.families.reference import edit_config
from tests.families.test_parity import assert_close

FIRST = [pytest.param(family, family.cases[0], id=family.model_type) for family in FAMILIES]
Builder = Callable[[FamilyCases, Case], Built]
BY_TYPE = {family.model_type: family for family in FAMILIES}
SOURCE, TARGET = np.array([5, 9, 40, 2], np.int32), np.array([1, 7, 8], np.int32)


def weights_of(path: Path) -> dict[str, Any]:
    checkpoint = Checkpoint(path)
    # Read now: the files change while a test compares.
    return dict(load_weights(read_spec(checkpoint.config), checkpoint, np.float32))


def copy_of(built: Built, target: Path) -> dict[str, Any]:
    """Copies a checkpoint; returns its tensors, to be changed and saved by ``put``."""
    shutil.copytree(built.path, target, dirs_exist_ok=True)
    return load_file(target / "model.safetensors")


def put(path: Path, tensors: dict[str, Any]) -> None:
    save_file(
        {name: np.ascontiguousarray(value) for name, value in tensors.items()}, path / "model.safetensors"
    )


def assert_same(ours: dict[str, Any], expected: dict[str, Any]) -> None:
    assert ours.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(ours[name], value, err_msg=name)


def assert_reads_as_the_reference(path: Path, model_class: str) -> None:
    """Logits of what ``from_pretrained`` makes of the directory, and of what we make of it."""
    import tensorflow as tf

    from exporter.generation.step import Prompt

    oracle = getattr(transformers, model_class).from_pretrained(path, attn_implementation="eager").eval()
    prompt = Prompt(
        tf.constant(TARGET[None]), tf.constant([3]), tf.constant(SOURCE[None]), tf.constant([len(SOURCE)])
    )
    ours, _ = read(path).prefill(prompt, max_new_tokens=1, logits="all")
    assert_close(ours[0], reference.logits(oracle, SOURCE, TARGET))


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.model_type)
def test_every_family_agrees_with_the_reference_on_defaults(family: FamilyCases) -> None:
    defaults = getattr(transformers, family.config_class)().to_dict()
    assert read_spec({"model_type": family.model_type}) == read_spec(defaults)


@pytest.mark.parametrize(("family", "case"), FIRST)
def test_version_4_config(build: Builder, tmp_path: Path, family: FamilyCases, case: Case) -> None:
    built = build(family, case)
    copy_of(built, tmp_path)
    edit_config(tmp_path, family.v4, family.v4_removed)
    assert read_spec(Checkpoint(tmp_path).config) == built.ours.spec


@pytest.mark.parametrize(("family", "case"), FIRST)
def test_names_of_the_base_model(build: Builder, tmp_path: Path, family: FamilyCases, case: Case) -> None:
    built = build(family, case)
    tensors = {name.removeprefix("model."): value for name, value in copy_of(built, tmp_path).items()}
    tensors.pop("final_logits_bias", None)
    put(tmp_path, tensors)
    ours, expected = weights_of(tmp_path), weights_of(built.path)
    if "head.bias" in expected:
        expected["head.bias"] = np.zeros_like(expected["head.bias"])
    assert_same(ours, expected)
    # One prefix too many: the reference drops it.
    base = built.oracle.base_model_prefix
    put(tmp_path, {f"{base}.{name}": value for name, value in copy_of(built, tmp_path).items()})
    assert_same(weights_of(tmp_path), weights_of(built.path))


@pytest.mark.parametrize(("family", "case"), FIRST)
def test_missing_extra_and_misshapen_tensors_in_one_error(
    build: Builder, tmp_path: Path, family: FamilyCases, case: Case
) -> None:
    tensors = copy_of(build(family, case), tmp_path)
    inside = [name for name, value in tensors.items() if value.ndim > 1 and ".layer" in name]
    missing, misshapen = sorted(inside)[:2]
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


@pytest.mark.parametrize(("family", "case"), FIRST)
def test_a_key_that_is_read_and_not_built(build: Builder, family: FamilyCases, case: Case) -> None:
    config = {**Checkpoint(build(family, case).path).config, "attention_chunk_size": 4}
    with pytest.raises(UnsupportedError, match=r"attention_chunk_size=4: the reference reads this key"):
        read_spec(config)
    passed = read_spec(config, ignore_config_keys=["attention_chunk_size"])
    assert passed.ignored_config_keys == ("attention_chunk_size",)


@pytest.mark.parametrize("stored", ["all", "copies", "encoder", "decoder", "head"])
@pytest.mark.parametrize("model_type", ["t5", "bart", "marian"])
def test_every_way_of_storing_one_table(build: Builder, tmp_path: Path, model_type: str, stored: str) -> None:
    family = BY_TYPE[model_type]
    built = build(family, family.cases[0])
    tensors = copy_of(built, tmp_path)
    (shared,) = (name for name in tensors if name.endswith("shared.weight"))
    prefix, table = shared.removesuffix("shared.weight"), tensors.pop(shared)
    names = {
        "encoder": f"{prefix}encoder.embed_tokens.weight",
        "decoder": f"{prefix}decoder.embed_tokens.weight",
        "head": "lm_head.weight",
    }
    chosen = {"all": [shared, *names.values()], "copies": list(names.values())}.get(stored) or [names[stored]]
    put(tmp_path, {**tensors, **dict.fromkeys(chosen, table)})
    assert_same(weights_of(tmp_path), weights_of(built.path))


@pytest.mark.parametrize("own", ["head", "encoder", "decoder"])
@pytest.mark.parametrize("model_type", ["t5", "bart"])
def test_tables_that_differ_are_not_tied(build: Builder, tmp_path: Path, model_type: str, own: str) -> None:
    family = BY_TYPE[model_type]
    tensors = copy_of(build(family, family.cases[0]), tmp_path)
    (shared,) = (name for name in tensors if name.endswith("shared.weight"))
    prefix = shared.removesuffix("shared.weight")
    name = "lm_head.weight" if own == "head" else f"{prefix}{own}.embed_tokens.weight"
    rng = np.random.default_rng(1)
    put(tmp_path, {**tensors, name: rng.normal(size=tensors[shared].shape).astype(np.float32)})
    assert_reads_as_the_reference(tmp_path, family.model_class)


def test_flan_t5_has_a_head_of_its_own(build: Builder, tmp_path: Path) -> None:
    family = BY_TYPE["t5"]
    tensors = copy_of(build(family, family.cases[1]), tmp_path)
    head = np.random.default_rng(2).normal(size=tensors["shared.weight"].shape).astype(np.float32)
    put(tmp_path, {**tensors, "lm_head.weight": head})
    edit_config(tmp_path, {"tie_word_embeddings": False}, ("scale_decoder_outputs",))
    assert_reads_as_the_reference(tmp_path, family.model_class)


def test_untied_head_must_be_there(build: Builder, tmp_path: Path) -> None:
    family = BY_TYPE["bart"]
    tensors = copy_of(build(family, family.cases[2]), tmp_path)
    del tensors["lm_head.weight"]
    put(tmp_path, tensors)
    with pytest.raises(CheckpointError, match=r"missing: lm_head\.weight"):
        weights_of(tmp_path)


def test_stored_sinusoids_win_over_computed_ones(build: Builder, tmp_path: Path) -> None:
    family = BY_TYPE["pegasus"]
    tensors = copy_of(build(family, family.cases[0]), tmp_path)
    tensors["model.decoder.embed_positions.weight"] = tensors["model.decoder.embed_positions.weight"] + 0.1
    del tensors["model.encoder.embed_positions.weight"]
    put(tmp_path, tensors)
    assert_reads_as_the_reference(tmp_path, family.model_class)


def test_both_sides_have_a_context_of_their_own(build: Builder) -> None:
    bart = build(BY_TYPE["bart"], BY_TYPE["bart"].cases[0]).ours.spec
    bart.check_lengths(64, 64)
    for lengths in [(65, 1), (1, 65)]:
        with pytest.raises(UnsupportedError, match="exceeds the 64 positions"):
            bart.check_lengths(*lengths)
    build(BY_TYPE["m2m_100"], BY_TYPE["m2m_100"].cases[1]).ours.spec.check_lengths(500, 500)


@pytest.mark.parametrize("model_type", REFUSED)
def test_out_of_reach_is_refused_by_name(model_type: str) -> None:
    assert model_type in transformers.CONFIG_MAPPING, "a name of the reference"
    with pytest.raises(
        UnsupportedError, match=f"'{model_type}' is not supported: its|'{model_type}' is not supported: it "
    ):
        read_spec({"model_type": model_type})


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize(
    ("buckets", "max_distance"), [(32, 128), (8, 16), (12, 100), (64, 512), (6, 5), (32, 20)]
)
def test_buckets_of_distances(buckets: int, max_distance: int, bidirectional: bool) -> None:
    from transformers.models.t5.modeling_t5 import T5Attention

    from exporter.model.relative import buckets_of_distances
    from exporter.spec import RelativeSpec

    ours = buckets_of_distances(RelativeSpec(buckets, max_distance, bidirectional))
    first = -max_distance if bidirectional else 0
    distances = torch.arange(first, max_distance + 1)
    expected = T5Attention._relative_position_bucket(-distances, bidirectional, buckets, max_distance)
    assert ours.tolist() == expected.tolist()
    beyond = torch.tensor([max_distance, max_distance + 1, 10 * max_distance])
    assert (
        len(
            set(T5Attention._relative_position_bucket(-beyond, bidirectional, buckets, max_distance).tolist())
        )
        == 1
    )
