"""The tokenizer benchmark: what it asks of its runners, and what its tables say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from scripts.benchmarks import made_tokenizers, tokenizers
from scripts.benchmarks.harness import Settings
from tests.tokenizer.trained import write

ANSWERS = {
    "load_seconds": 1.5,
    "first_seconds": 0.5,
    "resident_bytes": 12_300_000,
    "versions": {"tokenizers": "9.8.7"},
    "speeds": {
        "1 x 1 KB": {"cold": [0.002, 0.9, 0.001], "warm": [0.003]},
        "8 x 1 KB": {"cold": [0.008], "warm": [0.016, 0.004, 0.016]},
    },
    "hostile": {"one word of 64 KB": [2.0, 7], "1 MB of spaces": [1.0, -1]},
}


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One tokenizer that a runner has answered for; the peers asked."""
    (tmp_path / "data/tokenizers/gpt2").mkdir(parents=True)
    (tmp_path / "data/tokenizers/gpt2/tokenizer.json").touch()
    peers: list[str] = []

    def run(python: Path, runner: tuple[str, ...], job: dict[str, object], folder: Path) -> object:
        peers.append(runner[-1].removesuffix(".py").split("/")[-1])
        return ANSWERS

    monkeypatch.setattr(tokenizers, "TEST_DATA", tmp_path / "data")
    monkeypatch.setattr(tokenizers, "_run", run)
    monkeypatch.setattr(tokenizers, "_save", lambda source, artifact: None)
    return peers


def test_speeds_are_of_the_median_call_and_per_kilobyte(asked: list[str], tmp_path: Path) -> None:
    found = list(tokenizers.measure(tmp_path, only=["gpt2"]))
    assert found[0].cold == {"1 x 1 KB": 2.0, "8 x 1 KB": 1.0}
    assert found[0].warm == {"1 x 1 KB": 3.0, "8 x 1 KB": 2.0}
    assert found == tokenizers.rows(tmp_path)
    assert "| gpt2 | byte-level BPE | genserve | 2.00 / 3.00 ms/KB | 1.00 / 2.00 ms/KB | – | 12.3 MB |" in (
        tokenizers.speed_table(found)
    )


def test_a_text_that_a_peer_fails_on_has_no_time(asked: list[str], tmp_path: Path) -> None:
    found = list(tokenizers.measure(tmp_path))
    assert found[0].hostile == {"one word of 64 KB": 2.0}


def test_peers_without_their_files_are_left_out_and_results_are_kept(
    asked: list[str], tmp_path: Path
) -> None:
    """KerasHub needs merges.txt; what has been measured is not measured again."""
    list(tokenizers.measure(tmp_path))
    assert asked == ["tokenizer_genserve", "scripts.benchmarks.tokenizer_in_process", "tokenizer_library"]
    list(tokenizers.measure(tmp_path))
    assert len(asked) == 3
    list(tokenizers.measure(tmp_path, again=True))
    assert len(asked) == 6


def test_small_ones_are_trained_where_no_published_ones_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is trained once for all of its peers, and has the files that its peers need."""
    sources: dict[str, set[str]] = {}

    def run(python: Path, runner: tuple[str, ...], job: dict[str, str], folder: Path) -> object:
        source = Path(job["source"])
        assert len(Tokenizer.from_file(str(source / "tokenizer.json")).encode("def measured(words)").ids) > 3
        sources.setdefault(source.name, set()).add(job["source"])
        return ANSWERS

    text = made_tokenizers.package_text()
    assert len(text.encode()) > 1024 * sum(tokenizers._SIZES.values()) * tokenizers._BATCHES
    monkeypatch.setattr(made_tokenizers, "package_text", lambda: text[:50_000])
    monkeypatch.setattr(tokenizers, "TEST_DATA", tmp_path / "nothing")
    monkeypatch.setattr(tokenizers, "_run", run)
    monkeypatch.setattr(tokenizers, "_save", lambda source, artifact: None)
    monkeypatch.setattr(tokenizers, "python_of", lambda environment, root: Path(environment))
    found = list(tokenizers.measure(tmp_path))
    assert {name: len(paths) for name, paths in sources.items()} == dict.fromkeys(made_tokenizers.MADE, 1)
    measured = [(row.tokenizer, row.peer) for row in found]
    expected = {
        (name, peer) for name in made_tokenizers.MADE for peer in tokenizers.PEERS if peer != "keras-hub"
    }
    assert set(measured) == expected | {("made-byte-level-bpe", "keras-hub")}
    assert found == tokenizers.rows(tmp_path)


@pytest.mark.end_to_end
def test_runners_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small tokenizer through the saved graph, the graph in process, and the library."""
    source = tmp_path / "data/tokenizers/gpt2"
    source.mkdir(parents=True)
    library = Tokenizer.from_file(str(write("byte-level BPE", source)))
    monkeypatch.setattr(tokenizers, "TEST_DATA", tmp_path / "data")
    monkeypatch.setattr(tokenizers, "hostile_texts", lambda: {"spaces": " " * 300})
    monkeypatch.setattr(tokenizers, "_BATCHES", 3)
    found = list(tokenizers.measure(tmp_path, settings=Settings(warmup=1, trials=2)))
    assert [row.peer for row in found] == ["genserve", "genserve in process", "tokenizers"]
    for row in found:
        assert row.load_seconds > 0
        assert row.hostile["spaces"] > 0
        assert row.cold.keys() == row.warm.keys() == {"1 x 1 KB", "8 x 1 KB"}
    stored = json.loads((tmp_path / "results/tokenizers/gpt2.genserve.json").read_text())
    assert stored["table_bytes"] > len(library.get_vocab())
