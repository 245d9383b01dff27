"""Names and ties of stored tensors: what the reference loads is loaded, all else is refused in a line."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch
import transformers
from safetensors.numpy import load_file, save_file

from exporter.checkpoint import Checkpoint
from exporter.errors import CheckpointError
from exporter.families import load_weights, read_spec
from exporter.inspection import inspect_checkpoint
from tests.families import reference
from tests.families.cases import BY_TYPE, Case, FamilyCases
from tests.families.conftest import Built, read

Builder = Callable[[FamilyCases, Case], Built]
Tensors = dict[str, Any]
PREFIXES = ["module.", "_orig_mod.", "base_model.model.", "language_model.", "model.", "transformer.", "x.y."]
TOKENS = np.array([5, 9, 33, 60], np.int32)


@pytest.fixture
def llama(build: Builder, tmp_path: Path) -> Path:
    """A checkpoint to be changed, with a head of its own."""
    family = BY_TYPE["llama"]
    case = next(case for case in family.cases if not case.config.get("tie_word_embeddings"))
    return Path(shutil.copytree(build(family, case).path, tmp_path / "llama"))


def change(path: Path, how: Callable[[Tensors], Tensors]) -> Tensors:
    tensors = how(load_file(path / "model.safetensors"))
    save_file(tensors, path / "model.safetensors", {"format": "pt"})
    return tensors


def weights_of(path: Path) -> tuple[Tensors, tuple[str, ...]]:
    checkpoint = Checkpoint(path)
    return load_weights(read_spec(checkpoint.config), checkpoint, np.float32), checkpoint.notes


def assert_as_the_reference(path: Path, model_class: str = "LlamaForCausalLM") -> None:
    """Both read the directory, and their logits are the same."""
    model, info = reference_of(path, model_class)
    assert not info["missing_keys"]
    ours = read(path)
    difference = np.abs(reference.logits(model, TOKENS) - logits_of(ours))
    assert difference.max() <= 1e-4


def reference_of(path: Path, model_class: str) -> tuple[Any, Any]:
    model, info = getattr(transformers, model_class).from_pretrained(
        path, dtype=torch.float32, output_loading_info=True
    )
    return model.eval(), info


def logits_of(model: Any) -> Any:
    import tensorflow as tf

    from exporter.generation.step import Prompt

    prompt = Prompt(tf.constant(TOKENS[None]), tf.constant([len(TOKENS)]))
    return model.prefill(prompt, max_new_tokens=1, logits="all")[0][0].numpy()


@pytest.mark.parametrize("model_type", ["llama", "gpt2", "opt", "gpt_neox", "falcon", "gemma3"])
def test_prefixes_are_read_as_the_reference_reads_them(
    build: Builder, tmp_path: Path, model_type: str
) -> None:
    family = BY_TYPE[model_type]
    built = build(family, family.cases[0])
    path = Path(shutil.copytree(built.path, tmp_path / "it"))
    tensors = load_file(path / "model.safetensors")
    base = built.oracle.base_model_prefix
    changes = [lambda name, p=prefix: p + name for prefix in PREFIXES] + [
        lambda name: f"{base}.{name}",
        lambda name: f"{base}.{base}.{name}",
        lambda name: name.removeprefix(f"{base}."),
        lambda name: name.removeprefix("model.decoder."),
        lambda name: f"{base}.{name}" if len(name) % 2 else name,
        lambda name: name.removeprefix(f"{base}.") if len(name) % 2 else name,
    ]
    loaded, expected = 0, weights_of(built.path)[0]
    for rename in changes:
        save_file({rename(name): value for name, value in tensors.items()}, path / "model.safetensors")
        _, info = reference_of(path, family.model_class)
        if info["missing_keys"]:
            with pytest.raises(CheckpointError):
                weights_of(path)
        else:
            loaded += 1
            ours = weights_of(path)[0]
            assert all(np.array_equal(ours[name], value) for name, value in expected.items())
    assert 2 <= loaded < len(changes)


@pytest.mark.parametrize(
    ("prefix", "advice"),
    [
        ("_orig_mod.", "save model._orig_mod with save_pretrained; or rename"),
        ("module.", "save model.module with save_pretrained; or rename"),
        ("base_model.", "save model.merge_and_unload() with save_pretrained; or rename"),
        ("language_model.", "it is a part of a larger model"),
        ("module._orig_mod.", "torch.compile wrapped the model"),
        ("backbone.net.", "transformers loads none of them; rename them in every file"),
    ],
)
def test_a_foreign_prefix_is_one_sentence(llama: Path, prefix: str, advice: str) -> None:
    whole = load_file(llama / "model.safetensors")
    # PEFT puts "base_model.model." there; one "model." too many is none of the reference's troubles.
    more = "model." if prefix == "base_model." else ""
    change(llama, lambda tensors: {prefix + more + name: value for name, value in tensors.items()})
    with pytest.raises(CheckpointError) as caught:
        weights_of(llama)
    message = str(caught.value)
    assert f"every name begins with {prefix}, and transformers loads none of them" in message
    assert advice in message
    assert len(message.splitlines()) == 1
    assert message in inspect_checkpoint(llama).reason

    # The advice is a program: it must work as it stands.
    program = re.search(r"from safetensors.*", message)[0]  # type: ignore[index]
    exec(program, {"FILE": str(llama / "model.safetensors")})
    assert load_file(llama / "model.safetensors").keys() == {more + name for name in whole}
    weights_of(llama)


def test_one_tensor_under_two_names(llama: Path) -> None:
    expected = weights_of(llama)[0]["final_norm.scale"].copy()  # what is mapped changes with the file
    name = "model.norm.weight"
    change(llama, lambda tensors: {**tensors, "norm.weight": tensors[name].copy()})
    np.testing.assert_array_equal(weights_of(llama)[0]["final_norm.scale"], expected)
    change(llama, lambda tensors: {**tensors, "norm.weight": tensors[name] + 1})
    with pytest.raises(CheckpointError, match=r"model\.norm\.weight and norm\.weight are both model\.norm"):
        weights_of(llama)


@pytest.mark.parametrize("kept", [("lm_head.weight",), ("model.embed_tokens.weight",), ("both",)])
@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16, np.float16])
def test_a_tied_matrix_under_either_name_in_any_dtype(llama: Path, kept: tuple[str], dtype: Any) -> None:
    """Equal values in another dtype are one matrix; ``dtype`` holds them exactly."""
    reference.edit_config(llama, {"tie_word_embeddings": True})
    table = np.random.default_rng(5).integers(-3, 4, [99, 32]).astype(np.float32) / 8

    def tie(tensors: Tensors) -> Tensors:
        tensors["lm_head.weight"] = table.astype(dtype)
        tensors["model.embed_tokens.weight"] = table[: tensors["model.embed_tokens.weight"].shape[0]]
        other = {"lm_head.weight": "model.embed_tokens.weight", "both": ""}.get(kept[0], "lm_head.weight")
        return {name: value for name, value in tensors.items() if name != other}

    change(llama, tie)
    weights, notes = weights_of(llama)
    assert "head.kernel" not in weights
    np.testing.assert_array_equal(weights["embedding.tokens"], table.T)
    assert notes == ()
    assert_as_the_reference(llama)


def test_a_tied_head_that_differs_is_used_as_in_the_reference(llama: Path) -> None:
    reference.edit_config(llama, {"tie_word_embeddings": True})
    _, notes = weights_of(llama)
    assert "lm_head.weight and model.embed_tokens.weight are stored and differ" in notes[0]
    assert_as_the_reference(llama)


def test_parts_of_no_model_are_noted_and_buffers_are_not(llama: Path) -> None:
    extra = {"v_head.summary.weight": np.zeros([1, 32], np.float32), "score.weight": np.zeros(2, np.float32)}
    buffers = {"model.layers.0.self_attn.rotary_emb.inv_freq": np.zeros(4, np.float32)}
    change(llama, lambda tensors: {**tensors, **buffers})
    assert weights_of(llama)[1] == ()
    change(llama, lambda tensors: {**tensors, **extra})
    assert weights_of(llama)[1] == (
        "tensors of no part of the model, unused as in transformers: score.weight, v_head.summary.weight",
    )
    assert "score.weight, v_head.summary.weight" in str(inspect_checkpoint(llama))
    assert_as_the_reference(llama)


@pytest.mark.parametrize("model_type", ["gemma3", "qwen3_5", "llava"])
def test_towers_that_are_left_out_are_listed(build: Builder, model_type: str) -> None:
    """The reference's class that reads images saved them; all that is not the text model's is counted."""
    family = BY_TYPE[model_type]
    path = build(family, family.cases[0]).path
    stored = [name.removeprefix("model.") for name in load_file(path / "model.safetensors")]
    beside = [name for name in stored if not name.startswith(("language_model.", "lm_head"))]
    (note,) = (note for note in weights_of(path)[1] if "beside the text model" in note)
    assert note.startswith("tensors beside the text model, left out: ")
    assert sum(map(int, re.findall(r"(\d+) of", note))) == len(beside) > 0
    assert set(re.findall(r" of (\w+)", note)) == {name.split(".")[0] for name in beside}


@pytest.mark.parametrize(
    "name",
    [
        "model.layers.0.self_attn.q_proj.bias",
        "model.layers.1.self_attn.q_proj.weight_scale",
        "model.layers.1.mlp.router.weight",
        "lm_head.bias",
        "model.norm.bias",
    ],
)
def test_more_in_a_part_of_the_model_is_refused(llama: Path, name: str) -> None:
    change(llama, lambda tensors: {**tensors, name: np.zeros(32, np.float32)})
    with pytest.raises(CheckpointError, match=rf"unused: {re.escape(name)} \[32\]"):
        weights_of(llama)


@pytest.mark.parametrize("dtype", [np.int8, np.uint32])
def test_weights_in_whole_numbers_are_quantised(llama: Path, dtype: Any) -> None:
    name = "model.layers.0.mlp.up_proj.weight"
    change(llama, lambda tensors: {**tensors, name: tensors[name].astype(np.int8).astype(dtype)})
    with pytest.raises(
        CheckpointError, match=f"quantised: {re.escape(name)} is stored as .*; export the unq"
    ):
        weights_of(llama)


def test_mlx_quantisation_is_named(llama: Path) -> None:
    packed = {name: np.zeros([8, 1], np.uint32) for name in ("weight", "scales", "biases")}
    layer = "model.layers.0.mlp.up_proj."
    change(llama, lambda tensors: {**tensors, **{layer + name: value for name, value in packed.items()}})
    reference.edit_config(llama, {"quantization": {"bits": 4, "group_size": 32}})
    report = inspect_checkpoint(llama)
    assert not report.supported
    assert "quantised by MLX" in report.reason
    assert "mlx_lm.convert --hf-path DIR --dequantize" in report.reason
    assert "U32" in report.stored
    spec = read_spec(Checkpoint(llama).config, ignore_config_keys=["quantization"])
    with pytest.raises(CheckpointError, match=r"llama: the weights are quantised by MLX; [^\n]*\Z"):
        load_weights(spec, Checkpoint(llama), np.float32)


@pytest.mark.parametrize("name", ["own.safetensors", "own.safetensors.index.json"])
def test_weights_that_config_names_are_those_of_the_reference(llama: Path, name: str) -> None:
    tensors = load_file(llama / "model.safetensors")
    save_file({key: value + 1 for key, value in tensors.items()}, llama / "own.safetensors", {"format": "pt"})
    weight_map = dict.fromkeys(tensors, "own.safetensors")
    (llama / "own.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    reference.edit_config(llama, {"transformers_weights": name})
    assert_as_the_reference(llama)


def test_the_file_that_the_reference_takes_is_taken(llama: Path) -> None:
    """Two saves in one directory, with other values each."""
    tensors = load_file(llama / "model.safetensors")
    other = "model-00001-of-00001.safetensors"
    save_file({name: value + 1 for name, value in tensors.items()}, llama / other)
    index = {"metadata": {}, "weight_map": dict.fromkeys(tensors, other)}
    (llama / "model.safetensors.index.json").write_text(json.dumps(index))
    assert_as_the_reference(llama)
    assert "weights are read from model.safetensors" in str(inspect_checkpoint(llama))
    (llama / "model.safetensors").unlink()
    assert_as_the_reference(llama)
