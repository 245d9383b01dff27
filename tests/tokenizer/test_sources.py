"""Where a tokenizer is found, and what its neighbours say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from exporter.errors import CheckpointError, TokenizerUnsupportedError
from exporter.tokenizer import build_tokenizer, nodes, python_kinds
from exporter.tokenizer.from_transformers import PYTHON_KINDS
from exporter.tokenizer.sources import JsonSource, read_source
from tests.tokenizer.test_added_tokens import token, tokenizer_json

_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 790000\n"


def source(
    directory: Path, settings: dict[str, object] | None = None, **files: dict[str, object]
) -> JsonSource:
    file = tokenizer_json([token("<s>", 17, special=True), token("</s>", 18, special=True)])
    (directory / "tokenizer.json").write_text(json.dumps(file))
    for name, content in {"tokenizer_config": settings or {}, **files}.items():
        (directory / f"{name}.json").write_text(json.dumps(content))
    found = read_source(directory)
    assert isinstance(found, JsonSource)
    return found


def test_special_ids_are_named_by_the_configuration(tmp_path: Path) -> None:
    named = {"bos_token": {"content": "<s>"}, "eos_token": "</s>", "pad_token": None}
    settings = source(tmp_path, named).settings
    assert (settings.bos, settings.eos, settings.pad) == (17, 18, None)


def test_special_tokens_map_comes_before_it_unless_tokens_are_listed_by_id(tmp_path: Path) -> None:
    """As transformers 4.57 reads the two."""
    mapped = {"pad_token": "a", "eos_token": "b"}
    settings = source(tmp_path, {"eos_token": "</s>"}, special_tokens_map=mapped).settings
    assert (settings.eos, settings.pad) == (1, 0)
    listed = {"eos_token": "</s>", "added_tokens_decoder": {"17": {"content": "<s>", "special": True}}}
    settings = source(tmp_path, listed, special_tokens_map=mapped).settings
    assert (settings.eos, settings.pad) == (18, None)


def test_truncation_and_padding_do_not_reach_the_reference(tmp_path: Path) -> None:
    source(tmp_path)
    data = json.loads((tmp_path / "tokenizer.json").read_text())
    data["truncation"] = {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0}
    (tmp_path / "tokenizer.json").write_text(json.dumps(data))
    found = read_source(tmp_path / "tokenizer.json")
    assert isinstance(found, JsonSource)
    assert len(found.tokenizer.encode("abcabc").ids) == 6


@pytest.mark.parametrize(("insists", "cleans"), [(False, False), (True, True)])
def test_bpe_is_cleaned_up_only_where_the_checkpoint_insists(
    insists: bool, cleans: bool, tmp_path: Path
) -> None:
    key = "clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output"
    found = source(tmp_path, {"clean_up_tokenization_spaces": True, key: insists})
    assert found.settings.clean_up == cleans


def test_scores_are_those_that_the_library_holds(tmp_path: Path) -> None:
    """The library's own reading of decimals differs in the last bit, which decides ties."""
    scores = [-float(f"{n}.{n * 7919 % 10**15:015d}{n:02d}") for n in range(1, 200)]
    model = {"type": "Unigram", "vocab": [[f"p{i}", score] for i, score in enumerate(scores)], "unk_id": 0}
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps({"version": "1.0", "added_tokens": [], "model": model}))
    found = read_source(path)
    assert isinstance(found, JsonSource)
    assert isinstance(found.file.model, nodes.Unigram)
    held = json.loads(found.tokenizer.to_str())["model"]["vocab"]
    assert [list(entry) for entry in found.file.model.vocab] == held


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "found: nothing"),
        ({f"{n:02}.bin": b"" for n in range(12)}, r"found: 00\.bin, .*, 09\.bin, 2 more\)"),
        ({"spiece.model": b"x"}, "needs a config.json"),
        ({"tokenizer.json": b"{"}, "not a readable JSON file"),
        (
            {"tokenizer.json": b'{"model": {"type": "BPE", "vocab": {}, "merges": [["a", "b"]]}}'},
            "cannot read it",
        ),
        ({"config.json": b'{"model_type": "gpt2"}'}, "no tokenizer files"),
        ({"config.json": b'{"model_type": "llama"}'}, r"no tokenizer files \(found: config.json\)"),
        ({"tokenizer.json": _POINTER}, r"tokenizer\.json is a Git LFS pointer.*git lfs pull"),
        (
            {"config.json": b'{"model_type": "t5"}', "spiece.model": _POINTER},
            r"spiece\.model is a Git LFS pointer",
        ),
        (
            {"config.json": b'{"model_type": "t5"}', "spiece.model": b" <!DOCTYPE HTML><p>Log in"},
            r"spiece\.model is a web page",
        ),
    ],
)
def test_a_directory_without_a_readable_tokenizer(
    files: dict[str, bytes], message: str, tmp_path: Path
) -> None:
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        read_source(tmp_path)


@pytest.mark.parametrize(("model_type", "name"), [("biogpt", "BioGptTokenizer"), ("ctrl", "CTRLTokenizer")])
def test_a_class_in_python_only_is_refused_by_its_files(model_type: str, name: str, tmp_path: Path) -> None:
    """Not by a tokenizer.json that is not there, nor by a package that would not help."""
    (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type}))
    (tmp_path / "vocab.json").write_text('{"<unk>": 0}')
    (tmp_path / "merges.txt").write_text("")
    with pytest.raises(TokenizerUnsupportedError) as caught:
        build_tokenizer(tmp_path)
    message = f"merges.txt and vocab.json: {name}: exists in Python only, and is not compiled"
    assert str(caught.value).startswith(message)


def test_the_compiled_kinds_are_those_that_messages_list() -> None:
    assert tuple(python_kinds._KINDS) == PYTHON_KINDS


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such file"):
        read_source(tmp_path / "nowhere")
