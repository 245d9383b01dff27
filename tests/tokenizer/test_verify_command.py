"""``genserve verify-tokenizer``, and the short form of it that every export runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from typer.testing import CliRunner

from exporter.cli import app, main
from exporter.errors import OptionError, VerificationError
from exporter.exporting import pipeline, tokenizers
from exporter.options import make_options
from exporter.tokenizer import TokenizerGraph, build_tokenizer, parity
from tests.reference import byte_level_bpe, random_gpt2


class Misspelling(TokenizerGraph):
    """A graph that reads every "c" as "k"."""

    def __init__(self, graph: TokenizerGraph) -> None:
        super().__init__(name="misspelling")
        self.graph = graph
        for name in ("kind", "vocab_size", "bos_token_id", "eos_token_id", "pad_token_id"):
            setattr(self, name, getattr(graph, name))

    def encode(self, text: tf.Tensor, add_special_tokens: bool = True) -> tf.RaggedTensor:
        return self.graph.encode(tf.strings.regex_replace(text, "c", "k"), add_special_tokens)

    def decode(self, ids: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
        return self.graph.decode(ids, lengths)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A directory with a tokenizer.json, which is all that the command needs."""
    directory = tmp_path / "model"
    directory.mkdir()
    byte_level_bpe().save(str(directory / "tokenizer.json"))
    return directory


@pytest.fixture
def misspelling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is compiled gets one letter wrong."""

    def broken(build: Callable[..., TokenizerGraph]) -> Callable[..., TokenizerGraph]:
        return lambda *arguments, **options: Misspelling(build(*arguments, **options))

    monkeypatch.setattr(parity, "build_tokenizer", broken(build_tokenizer))
    monkeypatch.setattr(tokenizers, "build_tokenizer", broken(build_tokenizer))


def command(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["verify-tokenizer", *map(str, arguments)])


def test_equal_answers_exit_with_zero(model: Path) -> None:
    answer = command(model, "--strings", 25)
    assert answer.exit_code == 0, answer.output
    assert "ByteLevel BPE: 25 strings (" in answer.output
    assert "checked, 0 mismatches" in answer.output
    assert "ms per KB in the graph" in answer.output


def test_lines_of_files_are_checked_too(model: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first.txt", tmp_path / "second.txt"
    first.write_text("one\ntwo\n", encoding="utf-8")
    second.write_text("été\n\nthree", encoding="utf-8")
    answer = command(model, "--text", first, "--text", second, "--strings", 0)
    assert answer.exit_code == 0, answer.output
    assert "5 strings (" in answer.output


def test_either_reference_is_asked_for_by_name(model: Path) -> None:
    """And both are compared with each other: version 5 keeps a prefix space that the settings do not name."""
    file = json.loads((model / "tokenizer.json").read_text(encoding="utf-8"))
    file["pre_tokenizer"]["add_prefix_space"] = True
    (model / "tokenizer.json").write_text(json.dumps(file), encoding="utf-8")
    (model / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    answers = {
        name: command(model, "--strings", 25, "--tokenizer-reference", name)
        for name in ("files", "transformers")
    }
    for name, compiled in (("files", "the published files"), ("transformers", "AutoTokenizer")):
        answer = answers[name]
        assert answer.exit_code == 0, answer.output
        assert "checked, 0 mismatches" in answer.output
        line = answer.output.splitlines()[-1]
        assert "sample strings, as " in line
        assert f"compiled: {compiled}" in line
    refused = command(model, "--tokenizer-reference", "both")
    assert refused.exit_code == OptionError.exit_code
    assert "'both' is not one of 'files', 'transformers'" in " ".join(refused.output.split())


@pytest.mark.usefixtures("misspelling")
def test_a_mismatch_is_shown_and_exits_with_six(model: Path, tmp_path: Path) -> None:
    """What was asked, and both answers, in ids that the library's own encoding explains."""
    text = tmp_path / "text.txt"
    text.write_text("fine\nc\n", encoding="utf-8")
    answer = command(model, "--text", text, "--strings", 0)
    assert answer.exit_code == VerificationError.exit_code == 6
    library = byte_level_bpe()
    wanted, wrong = (library.encode(line).ids for line in ("c\n", "k\n"))
    assert "2 strings (0 KB) checked, 1 mismatches" in answer.output
    shown = f"encode 'c\\n'\n    graph:     {wrong}\n    reference: {wanted}"
    assert shown in answer.output
    assert "fine" not in answer.output


def test_a_file_that_cannot_be_read_is_named(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "latin1.txt"
    bad.write_bytes("é".encode("latin-1"))
    monkeypatch.setattr("sys.argv", ["genserve", "verify-tokenizer", str(model), "--text", str(bad)])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    assert f"--text {bad} cannot be read" in capsys.readouterr().err


@pytest.mark.usefixtures("misspelling")
def test_an_export_refuses(tmp_path: Path) -> None:
    """The short form stops the export before anything is written."""
    source = random_gpt2(tmp_path / "checkpoint")
    options = make_options({"model": str(source), "name": "m", "prompt_lengths": [8], "batch_sizes": [1]})
    with pytest.raises(VerificationError, match=r"(?s)differs from the reference.*graph:.*reference:"):
        pipeline.export(options, tmp_path / "out")
    assert not [path for path in (tmp_path / "out").rglob("*") if path.name.isdecimal()]


def test_a_reference_that_changed_under_the_graph_refuses(tmp_path: Path) -> None:
    """Two merges that swapped their ranks: the same vocabulary, other tokens."""
    source = random_gpt2(tmp_path / "checkpoint")
    graph = build_tokenizer(source)
    path = source / "tokenizer.json"
    file = json.loads(path.read_text(encoding="utf-8"))
    file["model"]["merges"].reverse()
    path.write_text(json.dumps(file), encoding="utf-8")
    with pytest.raises(VerificationError, match="differs from the reference"):
        parity.verify_tokenizer(source, count=tokenizers.TOKENIZER_CHECKS, tokenizer=graph).check()
