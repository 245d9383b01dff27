"""Checkpoints that transformers 4.57 wrote with TensorFlow, and what its classes answered.

Also HDF5 files that are cut, damaged, not of transformers, or that lead out of themselves. What wrote the
checkpoints: scripts/make_tf_checkpoints.
"""

from __future__ import annotations

import json
import random
import shutil
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf
from safetensors.numpy import save_file

from exporter.checkpoint import open_checkpoint
from exporter.checkpoint.h5_file import read_h5
from exporter.checkpoint.h5_scan import RefusedError, scan
from exporter.checkpoint.tf_names import torch_name
from exporter.errors import CheckpointError
from exporter.families import load_weights, read_spec
from exporter.generation.step import Prompt
from exporter.model import build_model
from tests.families.test_parity import assert_close

PACKED = Path(__file__).parent / "tf_checkpoints.zip"
FAMILIES = (
    *(
        "gpt2",
        "gptj",
        "opt",
        "xglm",
        "mistral",
        "t5",
        "mt5",
        "bart",
        "mbart",
        "blenderbot",
        "blenderbot-small",
    ),
    *("pegasus", "marian"),
)
OTHER_FILES = ("bart-sharded", "gpt2-sharded", "gpt2-safetensors", "marian-safetensors")


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tf_checkpoints")
    with zipfile.ZipFile(PACKED) as packed:
        packed.extractall(folder)
    return folder


@pytest.fixture
def gpt2(checkpoints: Path, tmp_path: Path) -> Path:
    """A copy to be broken."""
    return shutil.copytree(checkpoints / "gpt2", tmp_path / "gpt2")


@pytest.fixture
def bart(checkpoints: Path, tmp_path: Path) -> Path:
    """A copy in shards, to be broken."""
    return shutil.copytree(checkpoints / "bart-sharded", tmp_path / "bart")


def logits_of(model: Any, source: list[int] | None, target: list[int]) -> npt.NDArray[np.float32]:
    """float32 [length, vocab]."""
    prompt = Prompt(tf.constant([target]), tf.constant([len(target)]))
    if source is not None:
        prompt = Prompt(prompt.tokens, prompt.lengths, tf.constant([source]), tf.constant([len(source)]))
    logits, _ = model.prefill(prompt, max_new_tokens=1, logits="all")
    return np.asarray(logits[0])


def test_there_is_one_of_every_family(checkpoints: Path) -> None:
    assert {path.name for path in checkpoints.iterdir()} == {*FAMILIES, *OTHER_FILES}


@pytest.mark.parametrize("name", [*FAMILIES, *OTHER_FILES])
def test_answers_of_tensorflows_classes(checkpoints: Path, name: str) -> None:
    checkpoint = open_checkpoint(checkpoints / name)
    spec = read_spec(checkpoint.config)
    model = build_model(spec, load_weights(spec, checkpoint, np.float32))
    answers = json.loads((checkpoints / name / "answers.json").read_text())
    expected = np.array(answers["logits"], np.float32)
    assert_close(logits_of(model, answers["source"], answers["target"]), expected)
    greedy = answers["greedy"]
    start = 1 if answers["source"] else len(answers["target"])
    chosen = logits_of(model, answers["source"], greedy[:-1]).argmax(-1)
    assert chosen[start - 1 :].tolist() == greedy[start:]


@pytest.mark.parametrize(("whole", "parts"), [("bart", "bart-sharded"), ("gpt2", "gpt2-safetensors")])
def test_every_way_of_saving_reads_the_same(checkpoints: Path, whole: str, parts: str) -> None:
    first, second = (open_checkpoint(checkpoints / name).tensors for name in (whole, parts))
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert tensor.shape == second[name].shape == tensor.read().shape
        np.testing.assert_array_equal(tensor.read(), second[name].read(), err_msg=name)


@pytest.mark.parametrize(
    ("variable", "name"),
    [
        ("tfgpt2/transformer/h_._11/attn/c_attn/weight:0", "transformer.h.11.attn.c_attn.weight"),
        ("tft5/encoder/block_._0/layer_._1/DenseReluDense/wi_0/kernel:0",
         "encoder.block.0.layer.1.DenseReluDense.wi_0.weight"),
        ("model.shared/model.shared/embeddings:0", "model.shared.weight"),
        ("model.shared/weight:0", "weight"),
        ("final_logits_bias:0", "final_logits_bias"),
        ("tf/a/old___new/gamma:0", "a.new.weight"),
        ("tf//model//ln/beta:0", "model.ln.bias"),
    ],
)  # fmt: skip
def test_names(variable: str, name: str) -> None:
    """Right sides are what ``convert_tf_weight_name_to_pt_weight_name`` of transformers 4.57 returns."""
    assert torch_name(variable) == name


def test_sources_and_notes(checkpoints: Path, gpt2: Path) -> None:
    sharded = open_checkpoint(checkpoints / "bart-sharded")
    assert [name for name in sharded.source_files if "tf_model" in name] == [
        *(f"tf_model-0000{i}-of-00004.h5" for i in range(1, 5)),
        "tf_model.h5.index.json",
    ]
    (gpt2 / "pytorch_model.bin").write_bytes(b"x")
    checkpoint = open_checkpoint(gpt2)
    assert "tf_model.h5" in checkpoint.source_files
    assert checkpoint.notes == (
        "weights are read from tf_model.h5, as in transformers; not from pytorch_model.bin",
    )


def test_safetensors_come_first(gpt2: Path) -> None:
    (gpt2 / "tf_model.h5").write_bytes(b"")
    save_file({"a": np.ones(2, np.float32)}, gpt2 / "model.safetensors")
    checkpoint = open_checkpoint(gpt2)
    assert list(checkpoint.tensors) == ["a"]
    assert checkpoint.notes[0].endswith("not from tf_model.h5")


def test_a_tensor_too_many_and_one_too_few(gpt2: Path) -> None:
    with h5py.File(gpt2 / "tf_model.h5", "r+") as file:
        group = file["transformer"]
        names = [str(name) for name in group.attrs["weight_names"]]
        [lost] = [name for name in names if "h_._1/mlp/c_fc/weight" in name]
        added = lost.replace("c_fc", "c_gate")
        group[added] = np.ones((2, 2), np.float32)
        group.attrs["weight_names"] = [*(name for name in names if name != lost), added]
    checkpoint = open_checkpoint(gpt2)
    spec = read_spec(checkpoint.config)
    with pytest.raises(CheckpointError) as caught:
        load_weights(spec, checkpoint, np.float32)
    assert "missing: transformer.h.1.mlp.c_fc.weight [8, 32]" in str(caught.value)
    assert "unused: transformer.h.1.mlp.c_gate.weight [2, 2]" in str(caught.value)


def test_every_truncation_is_found(gpt2: Path) -> None:
    file = gpt2 / "tf_model.h5"
    whole = file.read_bytes()
    for size in (0, 5, 100, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:size])
        with pytest.raises(CheckpointError, match="truncated or damaged" if size else "is empty"):
            _ = open_checkpoint(gpt2).tensors


@pytest.mark.parametrize("seeds", [(0, 5, 10, 356), pytest.param(range(300), marks=pytest.mark.full)])
def test_damage_is_an_error_or_changes_no_shape(gpt2: Path, seeds: Sequence[int]) -> None:
    """A number's own bytes are not guarded. With seed 356 HDF5's library asks for all memory there is."""
    file = gpt2 / "tf_model.h5"
    whole = file.read_bytes()
    shapes = {name: tensor.shape for name, tensor in read_h5(file).items()}
    for seed in seeds:
        broken, rng = bytearray(whole), random.Random(seed)
        for _ in range(rng.randrange(1, 60)):
            broken[rng.randrange(len(broken))] = rng.randrange(256)
        file.write_bytes(broken)
        try:
            found = read_h5(file)
        except CheckpointError:
            continue
        assert all(tensor.read().shape == tensor.shape for tensor in found.values())
        if {name: tensor.shape for name, tensor in found.items()} != shapes:
            checkpoint = open_checkpoint(gpt2)
            with pytest.raises(CheckpointError):
                load_weights(read_spec(checkpoint.config), checkpoint, np.float32)


def keras_model(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_group("model_weights")


def keras_three(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["layers/dense/vars/0"] = np.ones(2, np.float32)


def external(path: Path) -> None:
    rewrite(path, lambda group, name: group.__setitem__(name, h5py.ExternalLink("other.h5", "/secret")))


def soft(path: Path) -> None:
    rewrite(path, lambda group, name: group.__setitem__(name, h5py.SoftLink("/transformer")))


def elsewhere(path: Path) -> None:
    rewrite(
        path,
        lambda group, name: group.create_dataset(name, (8,), "<f4", external=[("/etc/passwd", 0, 32)]),
    )


def virtual(path: Path) -> None:
    layout = h5py.VirtualLayout((8,), "<f4")
    layout[:] = h5py.VirtualSource("other.h5", "secret", (8,))
    rewrite(path, lambda group, name: group.create_virtual_dataset(name, layout))


def compressed(path: Path) -> None:
    rewrite(path, lambda group, name: group.create_dataset(name, data=np.ones(8, "<f4"), compression="gzip"))


def big_endian(path: Path) -> None:
    rewrite(path, lambda group, name: group.create_dataset(name, data=np.ones(8, ">f4")))


def unwritten(path: Path) -> None:
    rewrite(path, lambda group, name: group.create_dataset(name, (8,), "<f4"))


def a_group(path: Path) -> None:
    rewrite(path, lambda group, name: group.create_group(name))


def gone(path: Path) -> None:
    rewrite(path, lambda group, name: None)


def rewrite(path: Path, put: Callable[[Any, str], Any]) -> None:
    """Puts something else in the place of the final norm's scale."""
    with h5py.File(path, "r+") as file:
        group = file["transformer"]
        [name] = [name for name in group.attrs["weight_names"] if "ln_f/gamma" in name]
        del group[name]
        put(group, name)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (keras_model, "no attribute 'layer_names', but a whole model of Keras"),
        (keras_three, "no weights that transformers wrote: it has no attribute 'layer_names'$"),
        (external, "is a link to '/secret' .ExternalLink.; weights have none"),
        (soft, "is a link to '/transformer' .SoftLink.; weights have none"),
        (elsewhere, "is not stored as one run of bytes in this file.*h5repack -l CONTI"),
        (virtual, "is not stored as one run of bytes in this file"),
        (compressed, "is not stored as one run of bytes in this file"),
        (big_endian, "has dtype '>f4'; known are"),
        (unwritten, "was never written"),
        (a_group, "is no dataset"),
        (gone, "names 'tfgpt2lm_head_model/transformer/ln_f/gamma:0' and does not hold it"),
    ],
)
def test_files_that_are_refused(gpt2: Path, change: Callable[[Path], None], message: str) -> None:
    change(gpt2 / "tf_model.h5")
    with pytest.raises((RefusedError, ValueError), match=message):
        scan(str(gpt2 / "tf_model.h5"), "transformers")


@pytest.mark.parametrize(("change", "message"), [(soft, "h5: .* is a link to"), (gone, "damaged: it names")])
def test_refusals_name_the_file(gpt2: Path, change: Callable[[Path], None], message: str) -> None:
    change(gpt2 / "tf_model.h5")
    with pytest.raises(CheckpointError, match=message):
        _ = open_checkpoint(gpt2).tensors


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n", "is a Git LFS pointer"),
        (b"<!DOCTYPE html><html>", "is a web page"),
        (b"GGUF\x03\0\0\0", "is a GGUF file"),
        (b"PK\x03\x04rest", "is a pickle of PyTorch"),
        (b"anything else", "is truncated or damaged: it does not begin as an HDF5 file"),
    ],
)
def test_files_that_are_something_else(gpt2: Path, content: bytes, what: str) -> None:
    (gpt2 / "tf_model.h5").write_bytes(content)
    with pytest.raises(CheckpointError, match=f"tf_model.h5 {what}"):
        _ = open_checkpoint(gpt2).tensors


def test_shards_that_are_not_there_or_of_another_kind(bart: Path) -> None:
    (bart / "tf_model-00002-of-00004.h5").unlink()
    with pytest.raises(CheckpointError, match=r"tf_model-00002-of-00004\.h5 is missing"):
        _ = open_checkpoint(bart).tensors
    for name in ("../tf_model.h5", "model.safetensors"):
        (bart / "tf_model.h5.index.json").write_text(json.dumps({"weight_map": {"a": name}}))
        with pytest.raises(CheckpointError, match=r"must map tensor names|only h5 files are read"):
            _ = open_checkpoint(bart).tensors


def test_a_shard_alone_says_what_it_needs(bart: Path) -> None:
    (bart / "tf_model.h5.index.json").unlink()
    with pytest.raises(CheckpointError, match=r"the shards of tf_model\.h5\.index\.json"):
        _ = open_checkpoint(bart).tensors


def test_names_that_keras_cut_into_attributes(gpt2: Path) -> None:
    """An attribute holds 64 KB: Keras numbers what is longer (``save_attributes_to_hdf5_group``)."""
    expected = read_h5(gpt2 / "tf_model.h5")
    with h5py.File(gpt2 / "tf_model.h5", "r+") as file:
        group = file["transformer"]
        names = list(group.attrs["weight_names"])
        del group.attrs["weight_names"]
        group.attrs["weight_names0"], group.attrs["weight_names1"] = names[:9], names[9:]
    assert read_h5(gpt2 / "tf_model.h5").keys() == expected.keys()


def test_tensors_are_mapped_and_not_kept(checkpoints: Path) -> None:
    tensors = open_checkpoint(checkpoints / "t5").tensors
    for name in ("shared.weight", "encoder.block.1.layer.0.SelfAttention.q.weight"):
        base = tensors[name].read()
        while not isinstance(base, np.memmap):
            base = base.base
        assert base.filename == checkpoints / "t5" / "tf_model.h5"
