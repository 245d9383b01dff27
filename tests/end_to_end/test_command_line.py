"""The command line: every bad input is a clear message on stderr and its own exit code."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.reference import random_gpt2

pytestmark = pytest.mark.end_to_end


def genserve(*arguments: object, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """Runs the command in a process of its own, as a user would."""
    return subprocess.run(
        [sys.executable, "-m", "exporter", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        input=stdin,
        env={**os.environ, "COLUMNS": "200"},
    )


def test_help_names_every_verb() -> None:
    answer = genserve("--help")
    assert answer.returncode == 0
    for verb in ("export", "inspect", "verify", "verify-tokenizer", "config", "serve", "generate"):
        assert f" {verb} " in answer.stdout


def _missing(directory: Path) -> str:
    return str(directory / "nothing-here")


def _not_a_checkpoint(directory: Path) -> str:
    (directory / "notes.txt").write_text("hello")
    return str(directory)


def _pickle_only(directory: Path) -> str:
    random_gpt2(directory)
    (directory / "model.safetensors").rename(directory / "pytorch_model.bin")
    return str(directory)


def _unsupported(directory: Path) -> str:
    (directory / "config.json").write_text(json.dumps({"model_type": "gtp2"}))
    return str(directory)


def _truncated(directory: Path) -> str:
    random_gpt2(directory)
    path = directory / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    return str(directory)


def _lying_header(directory: Path) -> str:
    random_gpt2(directory)
    (directory / "model.safetensors").write_bytes(struct.pack("<Q", 1 << 60) + b"{}")
    return str(directory)


def _unknown_node(directory: Path) -> str:
    random_gpt2(directory)
    path = directory / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    tokenizer["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [{"type": "Telepathy"}]}
    path.write_text(json.dumps(tokenizer))
    return str(directory)


def _unbuilt_key(directory: Path) -> str:
    random_gpt2(directory)
    path = directory / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "sliding_window": 4}))
    return str(directory)


@pytest.mark.parametrize(
    ("make", "code", "expected"),
    [
        (_missing, 3, ["nothing-here"]),
        (_not_a_checkpoint, 3, ["config.json"]),
        (_pickle_only, 3, ["pytorch_model.bin", "save_pretrained"]),
        (_unsupported, 4, ["gtp2", "gpt2"]),
        (_truncated, 3, ["model.safetensors"]),
        (_lying_header, 3, ["model.safetensors"]),
        (_unknown_node, 4, ["pre_tokenizer.pretokenizers[0]", "Telepathy", "--tokenizer none"]),
        (_unbuilt_key, 4, ["sliding_window=4", "--ignore-config-key"]),
    ],
)
def test_bad_checkpoints(tmp_path: Path, make: Callable[[Path], str], code: int, expected: list[str]) -> None:
    source = tmp_path / "checkpoint"
    source.mkdir()
    out = tmp_path / "out"
    answer = genserve("export", make(source), out, "--name", "m")
    assert answer.returncode == code, answer.stderr
    assert "Traceback" not in answer.stderr
    message = f"\n{answer.stderr}".split("\nerror: ")[-1]
    for part in expected:
        assert part in message
    assert not [path for path in out.rglob("*") if path.name.isdecimal()], "a version was published"


def test_option_errors_are_joined() -> None:
    answer = genserve("export", "demo:stories", "out", "--batch-sizes", "8,1", "--outputs", "skore")
    assert answer.returncode == 2
    assert "batch_sizes: [8, 1] must be a non-empty, strictly increasing list" in answer.stderr
    assert "outputs.0: Input should be 'score', 'prompt_tokens' or 'truncated', got 'skore'" in answer.stderr
    answer = genserve("export", "demo:stories", "out", "-g", "num_beam=4")
    assert answer.returncode == 2
    assert "did you mean 'num_beams'?" in answer.stderr
    answer = genserve("export", "demo:storys", "out")
    assert answer.returncode == 3
    assert "stories" in answer.stderr


def test_an_existing_version_is_refused_unless_forced(tmp_path: Path) -> None:
    version = tmp_path / "stories" / "7"
    version.mkdir(parents=True)
    answer = genserve("export", "demo:stories", tmp_path, "--version", 7)
    assert answer.returncode == 5
    assert "--force" in answer.stderr
    assert list(version.iterdir()) == []


def test_clients_need_one_endpoint_and_report_an_absent_server() -> None:
    answer = genserve("generate", "--model", "m", "--prompt", "a")
    assert answer.returncode == 2
    assert "--url or --grpc" in answer.stderr
    for endpoint in (("--url", "http://127.0.0.1:9"), ("--grpc", "127.0.0.1:9")):
        answer = genserve("generate", "--model", "m", "--prompt", "a", *endpoint, "--timeout", 10)
        assert answer.returncode == 7, answer.stderr
        assert "UNAVAILABLE" in answer.stderr
        assert "Traceback" not in answer.stderr


def test_verify_names_what_is_no_version(tmp_path: Path) -> None:
    answer = genserve("verify", tmp_path)
    assert answer.returncode == 2
    assert "is not a version that genserve exported" in answer.stderr
