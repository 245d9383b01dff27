"""Texts solved segment by segment: the ways of one pass through the whole text, rounding and all."""

from __future__ import annotations

import random
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import sentencepiece
import tensorflow as tf
from sentencepiece import sentencepiece_model_pb2

from exporter.tokenizer.models import segments
from exporter.tokenizer.models.viterbi import Words, best_edges
from exporter.tokenizer.python_kinds.sentencepiece import SentencePieces
from tests.tokenizer.graphs import WORDS, graph
from tests.tokenizer.published import folder_of

#: float32 sums of these differ in their last bits only: as many ways through "abc" as it has, all but equal.
NEAR_TIES = {"a": -1.1, "b": -2.3, "c": -3.7, "ab": -3.4, "bc": -6.0, "abc": -7.1, "ca": -4.8, "aa": -2.2,
             "aaa": -3.3, "▁": -2.5, "▁a": -3.6, "▁ab": -5.9, "日": -5.5, "日本": -11.0,
             "本": -5.5}  # fmt: skip


def model(path: Path, pieces: dict[str, float] = NEAR_TIES) -> Path:
    """A SentencePiece model that leaves texts as they are."""
    proto = sentencepiece_model_pb2.ModelProto()
    proto.trainer_spec.model_type = sentencepiece_model_pb2.TrainerSpec.UNIGRAM
    proto.normalizer_spec.name = "identity"
    proto.normalizer_spec.add_dummy_prefix = proto.normalizer_spec.remove_extra_whitespaces = False
    proto.pieces.add(piece="<unk>", score=0, type=sentencepiece_model_pb2.ModelProto.SentencePiece.UNKNOWN)
    for piece, score in pieces.items():
        proto.pieces.add(piece=piece, score=score)
    path.write_bytes(proto.SerializeToString())
    return path


def near_tie_texts(seed: str, count: int) -> list[str]:
    rng = random.Random(seed)
    units = ["abc", "abca", "aaaa", "bca", "日本", "本日", "x", "é", "cab", "aabb"]
    lengths = rng.choices([0, 1, 5, 60, 300], k=count)
    texts = [rng.choice([" ", "x", ""]).join(rng.choices(units, k=length)) for length in lengths]
    return [*texts, "", "a", "a" * 300, "abc " * 2000, "x" * 500, " " * 99]


def assert_equals_library(path: Path, texts: list[str]) -> list[list[str]]:
    library = sentencepiece.SentencePieceProcessor(model_file=str(path))
    ours = graph(SentencePieces(path), WORDS)(tf.constant([t.encode() for t in texts], tf.string)).to_list()
    expected = [library.encode(text, out_type=str) for text in texts]
    for text, row, right in zip(texts, ours, expected, strict=True):
        assert [piece.decode() for piece in row] == right, text[:80]
    return expected


def test_near_ties(tmp_path: Path, full: bool) -> None:
    """The rounding decides here: the same word is divided in several ways in the course of a text."""
    rows = assert_equals_library(model(tmp_path / "model"), near_tie_texts("ties", 2000 if full else 100))
    words = "\n".join("\t".join(row).replace("\t▁", "\n▁").removeprefix("▁") for row in rows[-3:-2])
    assert len(set(words.split("\n"))) > 2, set(words.split("\n"))


@pytest.mark.parametrize(("name", "value"), [("_PASSES", 1), ("_PASSES", 2), ("_TABLE", 0)])
def test_without_the_patience_or_the_room(
    name: str, value: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Texts whose guesses are not proved in time are taken whole, beside others that are."""
    monkeypatch.setattr(segments, name, value)
    assert_equals_library(model(tmp_path / "model"), near_tie_texts(name, 50))


def random_words(rng: random.Random, lengths: list[int]) -> Words:
    """Words whose every place is reached, with a handful of scores, sums of which are nearly equal."""
    end, edges, offset = [], [], 0
    for length in lengths:
        end += [False] * length + [True]
        edges += [(offset + i, offset + i + 1, 1) for i in range(length)]
        for i in range(length - 1):
            for stop in range(i + 2, min(i + 5, length) + 1):
                if rng.random() < 0.25:
                    edges.append((offset + i, offset + stop, stop - i))
        offset += length + 1
    rng.shuffle(edges)
    start, stop, size = np.array(edges, np.int32).reshape(-1, 3).T
    score = (size * rng.choice([-0.1, -3.3, -7.7])).astype(np.float32)
    return Words(*(tf.constant(x) for x in (np.array(end, bool), start, stop, score)))


def reference(words: Words) -> list[int]:
    """The pass through whole texts, place by place, in float32."""
    end, start, stop, score = (x.numpy() for x in words)
    arriving = defaultdict(list)
    for edge in np.argsort(start, kind="stable"):
        arriving[int(stop[edge])].append(int(edge))
    total, best = np.zeros(len(end), np.float32), {}
    for place in range(len(end)):
        for edge in arriving[place]:
            candidate = np.float32(total[start[edge]] + score[edge])
            if place not in best or candidate > total[place]:
                total[place], best[place] = candidate, edge
    path = []
    for place in np.flatnonzero(end):
        while place in best:
            path.append(best[place])
            place = start[best[place]]
    return sorted(path, key=lambda edge: stop[edge])


@pytest.mark.parametrize("seed", range(3))
def test_random_lattices(seed: int, full: bool) -> None:
    rng = random.Random(f"lattices {seed}")
    in_segments, whole = (tf.function(f, reduce_retracing=True) for f in (segments.best_edges, best_edges))
    for _ in range(60 if full else 6):
        words = random_words(rng, rng.choices([0, 1, 2, 30, 400], k=rng.randint(1, 8)))
        expected = reference(words)
        assert whole(words, 5).numpy().tolist() == expected
        assert in_segments(words, 5).numpy().tolist() == expected


def words_of(text: str, pieces: list[str]) -> Words:
    """One text with all its pieces as edges."""
    edges = [(i, i + len(p)) for p in pieces for i in range(len(text)) if text.startswith(p, i)]
    start, stop = np.array(edges, np.int32).T
    end = np.arange(len(text) + 1) == len(text)
    return Words(*(tf.constant(x) for x in (end, start, stop, -(stop - start).astype(np.float32))))


def test_places_that_no_edge_spans() -> None:
    """ab|c|ab, and none at the ends."""
    cut = segments.cuts(words_of("abcab", ["a", "b", "c", "ab"])).numpy()
    assert np.flatnonzero(cut).tolist() == [2, 3]


@pytest.mark.parametrize(
    ("text", "pays"),
    [("ab" * 5, True), ("abab", False), ("a" * 30 + "b", False), ("a" * 30 + "b" * 80, True)],
)
def test_cut_only_where_it_pays(text: str, pays: bool) -> None:
    """A run of "a" is one segment; a text of one word costs a pass, not three."""
    words = words_of(text, ["a", "b", "ab", "aa"])
    assert segments.worthwhile(words, segments.cuts(words)).numpy().any() == pays


def test_first_guess_is_not_believed() -> None:
    """In the first pass every "abc" begins with 0 and is divided alike; the text's sums part some."""
    words = words_of("abc" * 500, ["a", "b", "c", "ab"])
    words = words._replace(score=tf.repeat(tf.constant([-0.1, -0.2, -0.3, -0.3], tf.float32), 500))
    right = reference(words)
    divisions = np.diff(words.start.numpy()[right])
    assert {1, 2} <= set(divisions.tolist())
    found = segments.solve(words, segments.cuts(words), 2)
    assert found.proved.numpy().all()
    assert 1 < int(found.passes) < 8
    assert found.path.numpy().tolist() == right


def tied_words(seed: int) -> Words:
    """A long text full of near ties: pieces of two letters are worth what the letters are, or nearly."""
    rng = random.Random(seed)
    text = "".join(rng.choices(["abc", "cab", "bca", "abab", "c"], k=600))
    scores = {piece: np.float32(-rng.uniform(0.1, 9)) for piece in "abc"}
    for a, b in ("ab", "bc", "ca"):
        scores[a + b] = scores[a] + scores[b] + np.float32(rng.choice([0, 1e-6, -1e-6, 3e-6, 1e-5]))
    words = words_of(text, list(scores))
    spans = zip(words.start.numpy(), words.stop.numpy(), strict=True)
    return words._replace(score=tf.constant([scores[text[i:j]] for i, j in spans], tf.float32))


@pytest.mark.parametrize("seed", [43, 44, 47, 57])
def test_near_guesses_are_not_believed(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A guess that is off in the last bit gives another way after two passes: it must not count as proved."""
    words = tied_words(seed)
    right, cut = reference(words), segments.cuts(words)
    found = segments.solve(words, cut, 2)
    assert found.proved.numpy().all()
    assert int(found.passes) > 2
    assert found.path.numpy().tolist() == right
    monkeypatch.setattr(segments, "_PASSES", 2)
    early = segments.solve(words, cut, 2)
    assert early.path.numpy().tolist() != right
    assert not early.proved.numpy().any()
    assert segments.best_edges(words, 2).numpy().tolist() == right


@pytest.mark.parity
def test_plain_text_is_proved_in_few_passes(test_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The quick way is really taken."""
    found = []
    solve = segments.solve

    def spy(*arguments: object) -> segments.Solution:
        found.append(solve(*arguments))  # type: ignore[arg-type]
        return found[-1]

    monkeypatch.setattr(segments, "solve", spy)
    text = (test_data / "corpora" / "botchan.txt").read_bytes()
    texts = [text[i : i + 1000].decode(errors="ignore").encode() for i in range(0, 40_000, 1000)]
    tf.config.run_functions_eagerly(True)
    try:
        SentencePieces(folder_of("opus-mt-en-mg") / "source.spm")(tf.constant(texts))
    finally:
        tf.config.run_functions_eagerly(False)
    assert [int(solution.passes) <= 3 and solution.proved.numpy().all() for solution in found] == [True]


@pytest.mark.parity
def test_real_model(test_data: Path, full: bool) -> None:
    """Long texts and odd ones, of many scripts."""
    rng = random.Random("real")
    corpora = [(test_data / "corpora" / f"{name}.txt").read_text("utf-8") for name in ("botchan", "udhr_all")]
    texts = [corpora[0][: 50_000 if full else 5000], "a" * (65_536 if full else 5000), "0" * 999]
    words = ["banana", "hahaha", "jerked", "kowtow", "دۇنيا", "日本語", "lololo", "000", "..."]
    for _ in range(300 if full else 20):
        texts.append(" ".join(rng.choices(words, k=rng.randint(1, 300))))
        texts.append("".join(rng.choices("abcde étao▁ 日本語中文、", k=rng.randint(1, 1000))))
        at = rng.randrange(len(corpora[1]) - 1000)
        texts.append(corpora[1][at : at + 1000])
    assert_equals_library(folder_of("opus-mt-en-mg") / "source.spm", texts)
