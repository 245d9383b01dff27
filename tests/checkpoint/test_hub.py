"""Downloads, against a hub on this machine: which files, at which commit, and every way to fail explained."""

from __future__ import annotations

import contextlib
import os
import pty
import socket
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.checkpoint.fake_hub import Hub, files, index, running, under

SHARDS = ("model-00001-of-00002.safetensors", "shards/model-00002-of-00002.safetensors")
BESIDE = (
    *(
        "pytorch_model.bin",
        "tf_model.h5",
        "flax_model.msgpack",
        "consolidated.safetensors",
        "model.fp16.safetensors",
    ),
    *("onnx/config.json", "onnx/model.onnx", "original/params.json", "original/consolidated.00.pth"),
    *("modeling_own.py", "README.md", "training_args.bin"),
)
USED = ("tokenizer.json", "merges.txt", "spiece.model", "source.spm")


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    repositories = {
        "them/single": files("model.safetensors", *USED, *BESIDE, *SHARDS)
        | {"model.safetensors.index.json": index(*SHARDS)},
        "them/sharded": files(*SHARDS, *USED, *BESIDE) | {"model.safetensors.index.json": index(*SHARDS)},
        "them/torn": files(SHARDS[0]) | {"model.safetensors.index.json": index(*SHARDS)},
        "them/gguf": {"model-q4.gguf": b"GGUF", "q8/model-q8.gguf": b"GGUF8", "README.md": b""},
        "them/tensorflow": files("tf_model.h5", "pytorch_model.bin", *USED),
        "them/pickled": files("pytorch_model.bin", "tokenizer.json"),
        "them/adapter": {
            "adapter_config.json": b"{}",
            **dict.fromkeys(
                ("adapter_model.safetensors", "tokenizer.json", "adapter_model.bin", "x.py"), b""
            ),
        },
        "them/pickled-adapter": {"adapter_config.json": b"{}", "adapter_model.bin": b""},
        "them/gated": files("model.safetensors"),
    }
    with running(Hub(repositories=repositories, gated={"them/gated"})) as served:
        yield served


def test_of_an_adapter_the_adapter_alone_is_fetched(hub: Hub, tmp_path: Path) -> None:
    adapter, pickled = hub.ask(tmp_path, ("them/adapter", None), ("them/pickled-adapter", None))
    names = ["adapter_config.json", "adapter_model.safetensors", "tokenizer.json"]
    assert under(Path(adapter["path"])) == names
    assert adapter["revision"] == hub.commit
    assert "no adapter_model.safetensors, but adapter_model.bin: pickled weights only" in pickled["error"]


def test_only_what_is_used_is_fetched_at_the_resolved_commit(hub: Hub, tmp_path: Path) -> None:
    single, sharded = hub.ask(tmp_path, ("them/single", None), ("them/sharded", "main"))
    small = ["config.json", *USED, "model.safetensors.index.json"]
    assert under(Path(single["path"])) == sorted([*small, "model.safetensors"])
    assert under(Path(sharded["path"])) == sorted([*small, *SHARDS])
    assert (single["revision"], sharded["revision"]) == (hub.commit, hub.commit)
    assert single["notes"] == []

    hub.fetched.clear()
    offline, again = hub.ask(
        tmp_path, ("them/sharded", None), ("them/single", hub.commit), HF_HUB_OFFLINE="1"
    )
    assert (offline["path"], offline["revision"]) == (sharded["path"], hub.commit)
    assert (again["path"], again["revision"]) == (single["path"], hub.commit)
    assert "read from the hub's cache" in offline["notes"][0]
    assert hub.commit in offline["notes"][0]
    assert hub.fetched == []


def test_weights_of_tensorflow_and_a_gguf_file_by_its_name(hub: Hub, tmp_path: Path) -> None:
    tensorflow, deep, absent = hub.ask(
        tmp_path,
        ("them/tensorflow", None),
        ("them/gguf:q8/model-q8.gguf", "main"),
        ("them/gguf:other.gguf", None),
    )
    assert under(Path(tensorflow["path"])) == sorted(["config.json", *USED, "tf_model.h5"])
    assert Path(deep["path"]).read_bytes() == b"GGUF8"
    assert deep["revision"] == hub.commit
    assert "a file is missing" in absent["error"]


def test_a_terminal_shows_a_bar_for_each_file_of_weights(hub: Hub, tmp_path: Path) -> None:
    program = "import sys; from exporter.checkpoint import locate; locate(sys.argv[1])"
    outer, inner = pty.openpty()
    termios.tcsetwinsize(inner, (24, 120))
    process = subprocess.Popen(
        [sys.executable, "-c", program, "them/sharded"], env=hub.environment(tmp_path), stderr=inner
    )
    os.close(inner)
    shown = b""
    with contextlib.suppress(OSError):  # what reading a terminal raises when its last writer is gone
        while part := os.read(outer, 4096):
            shown += part
    os.close(outer)
    assert process.wait() == 0, shown.decode()
    for name in SHARDS:
        assert Path(name).name.encode() + b": 100%|" in shown
    assert b"tokenizer.json" not in shown


def test_a_tokenizer_alone_needs_no_weights(hub: Hub, tmp_path: Path) -> None:
    (found,) = hub.ask(tmp_path, ("them/single", None), weights=False)
    assert under(Path(found["path"])) == sorted(["config.json", *USED, "model.safetensors.index.json"])
    (partly,) = hub.ask(tmp_path, ("them/single", None), HF_HUB_OFFLINE="1")
    assert "cache may hold a part of 'them/single' at c0ffee0 only" in partly["error"]
    assert "HF_HUB_OFFLINE" in partly["error"]


def test_what_is_not_there_is_explained(hub: Hub, tmp_path: Path) -> None:
    asked = {
        ("them/nothing", None): ("it was not found: check the spelling", "hf auth login"),
        ("them/single", "v9"): ("revision 'v9' does not exist", "/them/single/tree/main"),
        ("them/gated", None): ("access is gated: accept its terms at", "/them/gated", "HF_TOKEN"),
        ("them/gguf", None): ("it has no config.json", "model-q4.gguf", "REPO:model-q4.gguf"),
        ("them/pickled", None): ("pytorch_model.bin: pickled weights only", "save_pretrained"),
        ("them/torn", None): (f"{SHARDS[1]} is missing", "another --revision"),
        ("them/too/many", None): ("neither a directory nor a hub id",),
        ("-them/x", None): ("neither a directory nor a valid hub id",),
    }
    hub.fetched.clear()
    for words, answer in zip(asked.values(), hub.ask(tmp_path, *asked), strict=True):
        for word in words:
            assert word in answer["error"]
    assert not {"model-q4.gguf", "pytorch_model.bin", SHARDS[0]} & set(hub.fetched), (
        "refused before any weights"
    )


def test_no_hub_and_nothing_cached(tmp_path: Path) -> None:
    with socket.socket() as taken:  # bound, and never listening: connections are refused
        taken.bind(("127.0.0.1", 0))
        hub = Hub(address=f"http://127.0.0.1:{taken.getsockname()[1]}")
        (answer,) = hub.ask(tmp_path, ("them/single", None))
    assert (
        "'them/single' is no local directory, and from the Hugging Face hub it cannot be" in answer["error"]
    )
    assert "HTTPS_PROXY" in answer["error"]
