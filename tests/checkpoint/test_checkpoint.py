"""Checkpoints on disk: where they are found, and everything that can be wrong with their files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from exporter.checkpoint import Checkpoint, Location, locate
from exporter.errors import CheckpointError

TENSORS = {
    "a": torch.arange(6, dtype=torch.float32).reshape(2, 3),
    "b": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
    "c": torch.tensor(7, dtype=torch.int64),
    "empty": torch.zeros(0, 4, dtype=torch.float16),
}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    save_file(TENSORS, tmp_path / "model.safetensors", metadata={"format": "pt"})
    return tmp_path


def test_tensors_are_known_before_they_are_read(directory: Path) -> None:
    checkpoint = Checkpoint(directory)
    assert checkpoint.config == {"model_type": "gpt2"}
    assert checkpoint.generation_config is None
    tensors = checkpoint.tensors
    assert {name: (tensor.dtype, tensor.shape) for name, tensor in tensors.items()} == {
        "a": ("F32", (2, 3)),
        "b": ("BF16", (2,)),
        "c": ("I64", ()),
        "empty": ("F16", (0, 4)),
    }
    np.testing.assert_array_equal(tensors["a"].read(), TENSORS["a"].numpy())
    assert tensors["b"].read().dtype == ml_dtypes.bfloat16
    assert tensors["b"].read().astype(np.float32).tolist() == [1.5, -2.0]
    assert tensors["c"].read() == 7
    assert tensors["empty"].read().shape == (0, 4)


def test_generation_config(directory: Path) -> None:
    (directory / "generation_config.json").write_text('{"eos_token_id": 3}')
    assert Checkpoint(directory).generation_config == {"eos_token_id": 3}


def test_missing_directory_and_config(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is not a directory"):
        Checkpoint(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match=r"has no config\.json"):
        Checkpoint(tmp_path)


@pytest.mark.parametrize("text", ["{", "[1]", "\xff\xfe"])
def test_config_that_is_no_json_object(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(CheckpointError, match=r"config\.json"):
        Checkpoint(tmp_path)


def test_pickled_weights_only(directory: Path) -> None:
    (directory / "model.safetensors").rename(directory / "pytorch_model.bin")
    with pytest.raises(
        CheckpointError, match=r"but pytorch_model.bin: pickled weights only.*save_pretrained"
    ):
        _ = Checkpoint(directory).tensors


def test_no_weights(directory: Path) -> None:
    (directory / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"has no weights: neither model.safetensors nor"):
        _ = Checkpoint(directory).tensors


def test_every_truncation_is_found(directory: Path) -> None:
    file = directory / "model.safetensors"
    whole = file.read_bytes()
    for size in range(0, len(whole), 7):
        file.write_bytes(whole[:size])
        with pytest.raises(CheckpointError, match="truncated or damaged" if size else "is empty"):
            _ = Checkpoint(directory).tensors


def rewrite(path: Path, change: dict[str, Any]) -> None:
    """Replaces entries of a safetensors header."""
    whole = path.read_bytes()
    length = int.from_bytes(whole[:8], "little")
    header = json.dumps({**json.loads(whole[8 : 8 + length]), **change}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + whole[8 + length :])


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"dtype": "F32", "shape": [2, 4], "data_offsets": [0, 24]}, "needs 32 bytes, has 24"),
        ({"dtype": "F32", "shape": [-2, -3], "data_offsets": [0, 24]}, "needs 24 bytes"),
        ({"dtype": "F32", "shape": [2, 3], "data_offsets": [-8, 16]}, "ends at byte"),
        ({"dtype": "F32", "shape": [2, 3], "data_offsets": [24, 0]}, "needs 24 bytes, has -24"),
        ({"dtype": "F32", "shape": [9, 9], "data_offsets": [0, 324]}, "ends at byte"),
        ({"dtype": "F4", "shape": [2, 3], "data_offsets": [0, 24]}, "dtype 'F4'; known are F64"),
        ({"shape": [2, 3]}, "malformed header entry"),
        ("F32", "malformed header entry"),
    ],
)
def test_header_entries_that_lie(directory: Path, entry: Any, message: str) -> None:
    rewrite(directory / "model.safetensors", {"a": entry})
    with pytest.raises(CheckpointError, match=message):
        _ = Checkpoint(directory).tensors


def test_header_that_is_no_object(directory: Path) -> None:
    for header in (b"[]", b"{]"):
        (directory / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
        with pytest.raises(CheckpointError, match="header is not"):
            _ = Checkpoint(directory).tensors


@pytest.fixture
def sharded(directory: Path) -> Path:
    (directory / "model.safetensors").unlink()
    save_file({"a": TENSORS["a"]}, directory / "one.safetensors")
    save_file({"b": TENSORS["b"]}, directory / "two.safetensors")
    write_index(directory, {"a": "one.safetensors", "b": "two.safetensors"})
    return directory


def write_index(directory: Path, weight_map: Any) -> None:
    (directory / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))


def test_shards_are_read_as_one(sharded: Path) -> None:
    tensors = Checkpoint(sharded).tensors
    assert list(tensors) == ["a", "b"]
    np.testing.assert_array_equal(tensors["a"].read(), TENSORS["a"].numpy())


@pytest.mark.parametrize(
    ("weight_map", "message"),
    [
        ({"a": "one.safetensors", "b": "three.safetensors"}, "three.safetensors is missing"),
        ({"a": "../one.safetensors"}, "must map tensor names to file names"),
        ({"a": "shards/../../one.safetensors"}, "must map tensor names to file names"),
        ({"a": "/tmp/one.safetensors"}, "must map tensor names to file names"),
        ({"a": "..\\one.safetensors"}, "must map tensor names to file names"),
        ({"a": ""}, "must map tensor names to file names"),
        ({"a": 1}, "must map tensor names to file names"),
        ({"a": "one.bin"}, "names 'one.bin'; only safetensors files are read"),
        (["a"], "must map tensor names"),
        (None, "must map tensor names"),
    ],
)
def test_index_that_does_not_match(sharded: Path, weight_map: Any, message: str) -> None:
    write_index(sharded, weight_map)
    with pytest.raises(CheckpointError, match=message):
        _ = Checkpoint(sharded).tensors


def test_locate_local(directory: Path) -> None:
    assert locate(str(directory)) == Location(directory)
    with pytest.raises(CheckpointError, match="is a file"):
        locate(str(directory / "config.json"))
    for name in (str(directory / "nowhere"), "./nowhere", "a/b/c", ""):
        with pytest.raises(CheckpointError, match="neither a directory nor a hub id"):
            locate(name)
