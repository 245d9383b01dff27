"""WordPiece and WordLevel models against the ``tokenizers`` library, word by word."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import tokenizers

from exporter.errors import TokenizerUnsupportedError
from exporter.tokenizer import nodes
from exporter.tokenizer.bytestream import byte_alphabet
from exporter.tokenizer.models import build_model
from tests.tokenizer.graphs import WORDS, encode_words, graph, reloaded_encode
from tests.tokenizer.published import folder_of


def wordpiece(tokens: list[str], prefix: str = "##", longest: int = 100) -> nodes.WordPiece:
    return nodes.WordPiece(
        type="WordPiece",
        vocab={token: i for i, token in enumerate(dict.fromkeys(tokens))},
        unk_token="[UNK]",
        continuing_subword_prefix=prefix,
        max_input_chars_per_word=longest,
    )


def reference(node: nodes.WordPiece, words: list[str]) -> list[list[int]]:
    model = tokenizers.models.WordPiece(
        node.vocab,
        unk_token=node.unk_token,
        max_input_chars_per_word=node.max_input_chars_per_word,
        continuing_subword_prefix=node.continuing_subword_prefix,
    )
    return [[token.id for token in model.tokenize(word)] for word in words]


def assert_equal_words(node: nodes.WordPiece, words: list[str]) -> None:
    words = [word for word in dict.fromkeys(words) if word]
    ours = encode_words(graph(build_model(node), WORDS), [word.encode() for word in words])
    for word, ids, expected in zip(words, ours, reference(node, words), strict=True):
        assert ids == expected, (word, node)


@pytest.mark.parametrize("prefix", ["##", "", "@"])
@pytest.mark.parametrize("longest", [100, 6])
def test_wordpiece(prefix: str, longest: int, full: bool) -> None:
    for trial in range(10 if full else 2):
        rng = random.Random(f"{prefix} {longest} {trial}")
        stems = ["".join(rng.choices("abé日#@", k=rng.randint(1, 4))) for _ in range(30)]
        node = wordpiece(
            ["[UNK]", "ab", *(rng.choice(["", prefix]) + stem for stem in stems)], prefix, longest
        )
        words = [
            "".join(rng.choices("abé日#@x", k=rng.choice([1, 2, 3, 5, 6, 7, 20, 101]))) for _ in range(500)
        ]
        assert_equal_words(node, [*words, "[UNK]", "##a", "a\0", "\n"])


def test_wordpiece_without_continuations() -> None:
    assert_equal_words(wordpiece(["[UNK]", "a", "ab"]), ["a", "ab", "aa", "aba", "b"])


def test_saved_and_loaded_without_us(tmp_path: Path) -> None:
    node = wordpiece(["[UNK]", "play", "##ing", "##s", "日"])
    words = ["playing", "plays", "日", "played", "日s"]
    loaded = reloaded_encode(build_model(node), [word.encode() for word in words], tmp_path)
    assert loaded == reference(node, words)


@pytest.mark.parity
def test_real_vocabulary(test_data: Path, full: bool) -> None:
    node = nodes.read_tokenizer(folder_of("bert-base-uncased") / "tokenizer.json").model
    assert isinstance(node, nodes.WordPiece)
    text = (test_data / "corpora" / "udhr_all.txt").read_text(encoding="utf-8").lower()
    words = (text if full else text[::29] + text[:20_000]).split()
    assert_equal_words(node, [*words, "a" * 100, "a" * 101, "é" * 100, "é" * 101])


@pytest.mark.parametrize("byte_level", [False, True])
def test_wordlevel(byte_level: bool) -> None:
    vocab = {"<unk>": 5, "the": 0, "Ġfox": 1, "Ċ": 2, "日本": 3, "é": 4}
    node = nodes.WordLevel(type="WordLevel", vocab=vocab, unk_token="<unk>")
    model = tokenizers.models.WordLevel(vocab, unk_token="<unk>")
    words = ["the", " fox", "Ġfox", "\n", "日本", "é", "the\0", "x"]
    alphabet = {byte: character for character, byte in byte_alphabet().items()}
    seen = ["".join(alphabet[byte] for byte in word.encode()) if byte_level else word for word in words]
    function = graph(build_model(node, byte_level=byte_level), WORDS)
    ours = encode_words(function, [word.encode() for word in words])
    assert ours == [[token.id for token in model.tokenize(word)] for word in seen]


@pytest.mark.parametrize(
    ("node", "byte_level", "path"),
    [
        (nodes.WordLevel(type="WordLevel", vocab={"a": 0}, unk_token="<unk>"), False, "model.unk_token"),
        (wordpiece(["a"]), False, "model.unk_token"),
        (wordpiece(["[UNK]"]), True, "model"),
    ],
)
def test_refused(node: nodes.Model, byte_level: bool, path: str) -> None:
    with pytest.raises(TokenizerUnsupportedError) as caught:
        build_model(node, byte_level=byte_level)
    assert caught.value.path == path
