"""Unigram models against the ``tokenizers`` library, word by word."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import tokenizers

from exporter.errors import TokenizerUnsupportedError
from exporter.tokenizer import nodes
from exporter.tokenizer.models import build_model
from tests.tokenizer.graphs import WORDS, encode_words, graph, reloaded_encode
from tests.tokenizer.published import folder_of


def make(
    pieces: list[tuple[str, float]], unk_id: int | None = 0, byte_fallback: bool = False
) -> nodes.Unigram:
    return nodes.Unigram(type="Unigram", vocab=tuple(pieces), unk_id=unk_id, byte_fallback=byte_fallback)


def reference(node: nodes.Unigram, words: list[str]) -> list[list[int]]:
    model = tokenizers.models.Unigram(list(node.vocab), node.unk_id, node.byte_fallback)
    return [[token.id for token in model.tokenize(word)] for word in words]


def assert_equal_words(node: nodes.Unigram, words: list[str]) -> None:
    words = [word for word in dict.fromkeys(words) if word]
    ours = encode_words(graph(build_model(node), WORDS), [word.encode() for word in words])
    for word, ids, expected in zip(words, ours, reference(node, words), strict=True):
        assert ids == expected, (word, node)


BYTES = [(f"<0x{byte:02X}>", -9.0) for byte in range(256)]


@pytest.mark.parametrize("seed", range(4))
def test_ties_and_unknown_characters(seed: int, full: bool) -> None:
    """Small integer scores: most words have several best divisions, and the library's choice counts."""
    for trial in range(20 if full else 2):
        rng = random.Random(f"{seed} {trial}")
        pieces = {"<unk>": 0.0, "<s>": 0.0}
        for _ in range(rng.randint(3, 40)):
            pieces["".join(rng.choices("abcé日", k=rng.randint(1, 5)))] = float(rng.randint(-6, 1))
        vocab = list(pieces.items()) + (BYTES if seed % 2 else [])
        if rng.random() < 0.5:
            vocab.append(("ab", -2.0))  # a second time: the last one counts
        lengths = rng.choices([1, 2, 4, 9, 60], k=400)
        words = ["".join(rng.choices("aaaabbbbcccéé日日xy\U0001f600", k=length)) for length in lengths]
        words += ["x<unk>", "<unk>", "a<unk><unk>b", "<unk>xé<unk>", "<s>", "\0", "x\0\n"]
        assert_equal_words(make(vocab, byte_fallback=bool(seed % 2)), words)


def test_sums_are_float64_from_left_to_right() -> None:
    """0.1 + 0.2 + 0.3 and 0.3 + 0.2 + 0.1 differ in the last bit, which decides here."""
    pieces = [("<unk>", -20.0), ("a", -0.1), ("b", -0.2), ("c", -0.3), ("ab", -0.3), ("bc", -0.5),
              ("abc", -0.6), ("d", -0.3), ("dc", -0.5), ("dcb", -0.6), ("cba", -0.6000000000000001),
              ("cb", -0.5)]  # fmt: skip
    rng = random.Random(1)
    assert_equal_words(
        make(pieces), ["".join(rng.choices("abcd", k=rng.randint(1, 12))) for _ in range(2000)]
    )


def test_saved_and_loaded_without_us(tmp_path: Path) -> None:
    node = make([("<unk>", 0.0), ("a", -1.0), ("ab", -1.5), ("日", -3.0), *BYTES], byte_fallback=True)
    words = ["aab", "日x", "é\0"]
    loaded = reloaded_encode(build_model(node), [word.encode() for word in words], tmp_path)
    assert loaded == reference(node, words)


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"unk_id": None}, "model.unk_id"),
        ({"byte_fallback": True}, "model.byte_fallback"),
        ({"vocab": (("<unk>", float("-inf")),)}, "model.vocab"),
    ],
)
def test_refused(change: dict[str, Any], path: str) -> None:
    with pytest.raises(TokenizerUnsupportedError) as caught:
        build_model(make([("<unk>", 0.0), ("<0x41>", 0.0)]).model_copy(update=change))
    assert caught.value.path == path


@pytest.mark.parity
def test_real_vocabulary(test_data: Path, full: bool) -> None:
    file = folder_of("t5") / "tokenizer.json"
    node = nodes.read_tokenizer(file).model
    assert isinstance(node, nodes.Unigram)
    text = (test_data / "corpora" / "udhr_all.txt").read_text(encoding="utf-8")
    text = text if full else text[::29] + text[:20_000]
    words = ["▁" + word for word in text.split()]
    rng = random.Random(0)
    words += ["".join(rng.choices("etaoinshrdlu▁", k=2000)), "日" * 500, "e" * 500, "▁" * 500]
    assert_equal_words(node, words)
