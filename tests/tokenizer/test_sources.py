"""Where a tokenizer is found, and what its neighbours say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from exporter.errors import CheckpointError
from exporter.tokenizer import nodes
from exporter.tokenizer.sources import JsonSource, read_source
from tests.tokenizer.test_added_tokens import token, tokenizer_json


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
    settings = source(tmp_path, named, special_tokens_map={"pad_token": "a", "eos_token": "b"}).settings
    assert (settings.bos, settings.eos, settings.pad) == (17, 18, None)


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
        ({"spiece.model": b"x"}, "needs a config.json"),
        ({"tokenizer.json": b"{"}, "not a readable JSON file"),
        (
            {"tokenizer.json": b'{"model": {"type": "BPE", "vocab": {}, "merges": [["a", "b"]]}}'},
            "cannot read it",
        ),
        ({"config.json": b'{"model_type": "gpt2"}'}, "no tokenizer files"),
    ],
)
def test_a_directory_without_a_readable_tokenizer(
    files: dict[str, bytes], message: str, tmp_path: Path
) -> None:
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        read_source(tmp_path)


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such file"):
        read_source(tmp_path / "nowhere")
