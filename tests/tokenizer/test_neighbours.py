"""What stands beside a tokenizer.json: as transformers 4.57 read it, and in the graph."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from exporter.errors import CheckpointError
from exporter.tokenizer import build_tokenizer, verify_tokenizer
from exporter.tokenizer.oracles import compare_origins, tokenizer_notes
from exporter.tokenizer.reference import reference_of
from exporter.tokenizer.samples import sample_strings
from exporter.tokenizer.sources import read_source
from tests.conftest import ROOT
from tests.tokenizer.neighbour_cases import CASES, FIRST, IDS, Case
from tests.tokenizer.support import tensor, traced

OLDER = ROOT / ".venv-transformers-4.57" / "bin" / "python"


@pytest.mark.parametrize("name", CASES)
def test_the_reference_is_what_version_4_said(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    assert reference_of(read_source(case.write(tmp_path))).encode(case.text) == IDS[name]


@pytest.mark.full
def test_the_expected_ids_are_those_of_version_4(tmp_path: Path) -> None:
    """The recorded ids, and generated strings of every case besides."""
    if not OLDER.is_file():
        pytest.skip("scripts/reference_environment.sh has not been run")
    sources = {name: case.write(tmp_path / str(i)) for i, (name, case) in enumerate(CASES.items())}
    references = {name: reference_of(read_source(source)) for name, source in sources.items()}
    texts = {
        name: [case.text, *sample_strings(200, tokens=references[name].tokens)]
        for name, case in CASES.items()
    }
    job = {"sources": {name: str(source) for name, source in sources.items()}, "texts": texts}
    command = [str(OLDER), str(ROOT / "scripts" / "tokenize_texts.py")]
    answer = subprocess.run(command, input=json.dumps(job), capture_output=True, text=True, check=True)
    answers = json.loads(answer.stdout)
    assert answers["unreadable"] == {}
    assert {name: ids[0] for name, ids in answers["ids"].items()} == IDS
    for name, ids in answers["ids"].items():
        assert [references[name].encode(text) for text in texts[name]] == ids, name


@pytest.mark.parametrize(
    "name",
    ["listed by id", "split_special_tokens", "Llama with both", "add_prefix_space of Bloom's nested nodes"],
)
def test_the_graph_follows(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    graph = build_tokenizer(case.write(tmp_path))
    assert traced(graph.encode)(tensor([case.text])).to_list() == [IDS[name]]
    verify_tokenizer(tmp_path, count=100, tokenizer=graph).check()


def test_alone_a_file_means_itself(tmp_path: Path) -> None:
    """Without neighbours the class's defaults do not count: a prefix space stays."""
    case = CASES["add_prefix_space is false by default"]
    Case(case.text, None, sections=case.sections).write(tmp_path)
    assert reference_of(read_source(tmp_path)).encode("ab") == [39, 0, 1]


def test_files_of_version_5_are_complete(tmp_path: Path) -> None:
    """It names its own class beside a tokenizer.json that holds everything."""
    Case("ab", {"tokenizer_class": "LlamaTokenizer", "backend": "tokenizers"}).write(tmp_path)
    assert reference_of(read_source(tmp_path)).encode("ab<unk>")[:2] == [0, 1]


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("tokenizer_config", {"split_special_tokens": "yes"}, "split_special_tokens: .*boolean.*got 'yes'"),
        ("tokenizer_config", {"added_tokens_decoder": {"x": {"content": "<x>"}}}, "added_tokens_decoder.x"),
        ("tokenizer_config", {"added_tokens_decoder": {"42": "<x>"}}, "added_tokens_decoder.42.*got '<x>'"),
        ("tokenizer_config", {"bos_token": 7}, "bos_token.*got 7"),
        ("tokenizer_config", {"extra_special_tokens": "<x>"}, "extra_special_tokens"),
        ("tokenizer_config", [], "not a readable JSON object: it holds a list"),
        ("special_tokens_map", {"additional_special_tokens": "<x>"}, "additional_special_tokens"),
        ("added_tokens", {"<x>": "42"}, "<x>.*got '42'|<x>.*integer"),
        (
            "tokenizer_config",
            {"tokenizer_class": "LlamaTokenizer", "bos_token": None},
            "add_bos_token: true needs a bos_token",
        ),
    ],
)
def test_a_value_of_a_wrong_type_is_named(file: str, content: Any, message: str, tmp_path: Path) -> None:
    Case("", {}).write(tmp_path)
    (tmp_path / f"{file}.json").write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=message) as caught:
        read_source(tmp_path)
    assert f"{file}.json" in str(caught.value) or "tokenizer_config.json" in str(caught.value)


DIFFERING = "add_prefix_space is false by default"


def test_either_reference_is_compiled(tmp_path: Path) -> None:
    """Version 5 keeps the file's prefix space where version 4 took its absence for false."""
    case = CASES[DIFFERING]
    case.write(tmp_path)
    graph = build_tokenizer(tmp_path, origin="transformers")
    assert traced(graph.encode)(tensor(["ab c"])).to_list() == [[39, 0, 1, 39, 2]]
    verify_tokenizer(tmp_path, count=100, origin="transformers", tokenizer=graph).check()
    assert verify_tokenizer(tmp_path, ["ab c"], count=0, tokenizer=graph).mismatches > 0


def test_a_difference_is_one_line_with_the_shortest_example(tmp_path: Path) -> None:
    CASES[DIFFERING].write(tmp_path)
    found = compare_origins(tmp_path, strings=["abc", "a", ""], count=0)
    assert found is not None
    assert (found.strings, found.differing) == (3, 2)
    assert found.example is not None
    assert (found.example.text, found.example.files, found.example.transformers) == ("a", [0], [39, 0])
    line = str(found)
    assert "\n" not in line
    assert "differ on 2 of 3 sample strings, as 'a': [0] and [39, 0]; compiled: the published files" in line
    other = compare_origins(tmp_path, "transformers", ["a"], count=0)
    assert str(other).endswith(f"compiled: AutoTokenizer of transformers {found.version}")


def test_agreement_is_not_noted_but_ids_past_the_model_are(tmp_path: Path) -> None:
    CASES["listed by id"].write(tmp_path)
    found = compare_origins(tmp_path, count=50)
    assert found is not None
    assert (found.differing, found.unreadable) == (0, None)
    graph = build_tokenizer(tmp_path)
    assert tokenizer_notes(graph, found, graph.vocab_size) == ()
    (note,) = tokenizer_notes(graph, found, FIRST)
    assert f"ids up to {FIRST + 1}, the model rows up to {FIRST - 1}" in note


def test_a_reference_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    CASES["T5's sentinels"].write(tmp_path)
    found = compare_origins(tmp_path, count=5)
    assert found is not None
    assert "could not be asked" in str(found)
    with pytest.raises(CheckpointError, match="transformers cannot read"):
        read_source(tmp_path, "transformers")
