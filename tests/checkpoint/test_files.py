"""Which files of a directory are its weights, what else lies there, and files that are something else."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from exporter.checkpoint import Checkpoint
from exporter.errors import CheckpointError
from exporter.tokenizer.sources import read_source

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 548105171\n"
PAGE = b"\n<!DOCTYPE html>\n<html><head><title>model.safetensors</title></head></html>"


def write(path: Path, **values: float) -> None:
    path.parent.mkdir(exist_ok=True)
    save_file({name: np.full(2, value, np.float32) for name, value in values.items()}, path)


def read(path: Path) -> tuple[dict[str, float], tuple[str, ...]]:
    """First element of every tensor, and the notes."""
    checkpoint = Checkpoint(path)
    return {name: float(t.read()[0]) for name, t in checkpoint.tensors.items()}, checkpoint.notes


def index(path: Path, weight_map: dict[str, str], name: str = "model.safetensors.index.json") -> None:
    (path / name).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text("{}")
    return tmp_path


def test_one_set_of_weights_needs_no_note(directory: Path) -> None:
    write(directory / "model.safetensors", a=1)
    (directory / "training_args.bin").write_bytes(b"")
    assert read(directory) == ({"a": 1.0}, ())


def test_a_single_file_comes_before_an_index(directory: Path) -> None:
    write(directory / "model.safetensors", a=1)
    write(directory / "model-00001-of-00001.safetensors", a=2)
    index(directory, {"a": "model-00001-of-00001.safetensors"})
    values, notes = read(directory)
    assert values == {"a": 1.0}
    assert notes == (
        "weights are read from model.safetensors, as in transformers; not from "
        "model-00001-of-00001.safetensors, model.safetensors.index.json",
    )


def test_a_stale_index_is_not_even_opened(directory: Path) -> None:
    write(directory / "model.safetensors", a=1)
    (directory / "model.safetensors.index.json").write_text("{")
    values, notes = read(directory)
    assert values == {"a": 1.0}
    assert "not from model.safetensors.index.json" in notes[0]


def test_shards_of_an_earlier_save_and_other_formats_are_noted(directory: Path) -> None:
    for name in ("model-1-of-2.safetensors", "model-2-of-2.safetensors", "model-1-of-1.safetensors"):
        write(directory / name, **{name[6]: 1})
    for name in ("pytorch_model.bin", "model.gguf", "consolidated.safetensors"):
        (directory / name).write_bytes(b"")
    index(directory, {"1": "model-1-of-2.safetensors", "2": "model-2-of-2.safetensors"})
    values, notes = read(directory)
    assert values.keys() == {"1", "2"}
    assert notes[0].endswith(
        "not from consolidated.safetensors, model-1-of-1.safetensors, model.gguf and 1 more"
    )


def test_shards_in_folders_behind_links_and_with_more_than_is_indexed(directory: Path) -> None:
    write(directory / "blobs" / "0a1b", a=1, buffer=7)
    write(directory / "shards" / "b.safetensors", b=2)
    (directory / "shards" / "a.safetensors").symlink_to(directory.resolve() / "blobs" / "0a1b")
    index(
        directory, {"a": "shards/a.safetensors", "b": "shards/b.safetensors", "gone": "shards/b.safetensors"}
    )
    assert read(directory) == ({"a": 1.0, "buffer": 7.0, "b": 2.0}, ())


def test_a_tensor_in_two_shards_is_the_last_ones_as_in_the_reference(directory: Path) -> None:
    write(directory / "1.safetensors", a=1)
    write(directory / "2.safetensors", a=2)
    index(directory, {"a": "1.safetensors", "b": "2.safetensors"})
    assert read(directory)[0] == {"a": 2.0}


@pytest.mark.parametrize("name", ["own.safetensors", "sub/own.safetensors", "own.safetensors.index.json"])
def test_config_may_name_the_weights(directory: Path, name: str) -> None:
    write(directory / "model.safetensors", a=1)
    write(directory / "sub" / "own.safetensors", a=3)
    write(directory / "own.safetensors", a=3)
    index(directory, {"a": "own.safetensors"}, "own.safetensors.index.json")
    (directory / "config.json").write_text(json.dumps({"transformers_weights": name}))
    assert read(directory)[0] == {"a": 3.0}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("../model.safetensors", "must name a .safetensors file"),
        ("model.bin", "must name a .safetensors file"),
        (7, "must name a .safetensors file"),
        ("other.safetensors", "transformers_weights='other.safetensors' is not there"),
    ],
)
def test_config_that_names_no_weights(directory: Path, name: Any, message: str) -> None:
    write(directory / "model.safetensors", a=1)
    (directory / "config.json").write_text(json.dumps({"transformers_weights": name}))
    with pytest.raises(CheckpointError, match=message):
        read(directory)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("tf_model-00001-of-00002.h5", ("weights of TensorFlow", "tf_model.h5.index.json")),
        ("model.weights.h5", ("an HDF5 file", "rename it to tf_model.h5")),
        ("flax_model.msgpack", ("weights of Flax", "from_flax=True")),
        ("model-Q4_K_M.gguf", ("a file of llama.cpp", "REPO:model-Q4_K_M.gguf")),
        ("pytorch_model.bin", ("pickled weights only", "save_pretrained")),
        ("consolidated.safetensors", ("its maker's own code", "convert_")),
        ("consolidated.00.pth", ("its maker's own code", "convert_")),
        ("model.pth", ("pickled weights only", "with the code that wrote them")),
        ("adapter_model.safetensors", ("an adapter of PEFT", "adapter_config.json")),
        ("model.fp16.safetensors", ("rename it to model.safetensors",)),
        ("weights.npz", ("weights of MLX",)),
        ("model.onnx", ("an ONNX graph",)),
    ],
)
def test_other_formats_are_named_with_a_way_out(directory: Path, name: str, words: tuple[str, ...]) -> None:
    (directory / name).write_bytes(b"x")
    with pytest.raises(CheckpointError) as caught:
        read(directory)
    for word in (f"no model.safetensors, but {name}: ", *words):
        assert word in str(caught.value)
    (directory / "config.json").unlink()
    with pytest.raises(CheckpointError, match=r"it has no config\.json; it has no model\.safetensors, but"):
        Checkpoint(directory)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (LFS, "a Git LFS pointer.*git lfs pull.*hf download"),
        (PAGE, "a web page saved under this name.*hf download"),
        (b"Entry not found", "a server's error message"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "a server's error message"),
        (b"GGUF\x03\0\0\0" + b"\0" * 40, "a GGUF file"),
        (b"\x89HDF\r\n\x1a\n" + b"\0" * 40, "an HDF5 file"),
        (b"\x1f\x8b\x08\0\0\0\0\0\0\x03" + b"\0" * 40, "compressed with gzip"),
        (b"", "empty"),
    ],
)
def test_weights_that_are_something_else(directory: Path, content: bytes, what: str) -> None:
    (directory / "model.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match=f"model.safetensors is {what}"):
        read(directory)


def test_a_pickle_is_never_opened_whatever_its_name(directory: Path) -> None:
    torch.save({"a": torch.zeros(2)}, directory / "model.safetensors")
    assert zipfile.is_zipfile(directory / "model.safetensors")
    with pytest.raises(CheckpointError, match="a pickle of PyTorch"):
        read(directory)
    torch.save({"a": torch.zeros(2)}, directory / "model.safetensors", _use_new_zipfile_serialization=False)
    with pytest.raises(CheckpointError, match="a pickle of PyTorch"):
        read(directory)


def test_a_header_as_long_as_a_pickle_begins_is_a_damaged_file(directory: Path) -> None:
    """The length 640 is the two bytes 80 02, with which pickles begin too."""
    (directory / "model.safetensors").write_bytes((640).to_bytes(8, "little") + b'{"a":')
    with pytest.raises(CheckpointError, match="truncated or damaged"):
        read(directory)


@pytest.mark.parametrize("name", ["config.json", "generation_config.json", "model.safetensors.index.json"])
@pytest.mark.parametrize(
    ("content", "what"), [(LFS, "a Git LFS pointer"), (PAGE, "a web page"), (b"", "empty")]
)
def test_json_that_is_something_else(directory: Path, name: str, content: bytes, what: str) -> None:
    (directory / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=f"{name} is {what}"):
        read(directory)


def test_json_too_deep_or_not_to_be_read(directory: Path) -> None:
    (directory / "config.json").write_text("[" * 100_000)
    with pytest.raises(CheckpointError, match="not readable JSON"):
        Checkpoint(directory)
    (directory / "config.json").unlink()
    (directory / "config.json").mkdir()
    with pytest.raises(CheckpointError, match=r"no config\.json"):
        Checkpoint(directory)


@pytest.mark.parametrize("name", ["tokenizer.json", "spiece.model", "merges.txt", "tokenizer_config.json"])
@pytest.mark.parametrize(("content", "what"), [(LFS, "a Git LFS pointer"), (PAGE, "a web page")])
def test_tokenizer_files_that_are_something_else(
    directory: Path, name: str, content: bytes, what: str
) -> None:
    (directory / "config.json").write_text('{"model_type": "t5"}')
    (directory / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=f"{name} is {what}.*--tokenizer none"):
        read_source(directory)
