"""BPE models against the ``tokenizers`` library, word by word."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.errors import TokenizerUnsupportedError
from exporter.tokenizer import nodes
from exporter.tokenizer.bytestream import byte_alphabet
from exporter.tokenizer.models import build_model
from tests.tokenizer.graphs import WORDS, encode_words, graph, reloaded_encode
from tests.tokenizer.published import folder_of

STAND_INS = {byte: character for character, byte in byte_alphabet().items()}


def reference(node: nodes.BPE) -> tokenizers.models.BPE:
    """The library's model of the same node."""
    options = node.model_dump(exclude={"type", "vocab", "merges"}, exclude_none=True)
    return tokenizers.models.BPE(node.vocab, list(node.merges), **options)


def assert_equal_words(
    node: nodes.BPE, words: list[str], byte_level: bool = False, function: Any = None
) -> None:
    """Every word's ids, compared with the library's."""
    function = function or graph(build_model(node, byte_level=byte_level), WORDS)
    model = reference(node)
    words = [word for word in dict.fromkeys(words) if word]
    ours = encode_words(function, [word.encode() for word in words])
    for word, ids in zip(words, ours, strict=True):
        seen = "".join(STAND_INS[byte] for byte in word.encode()) if byte_level else word
        assert ids == [token.id for token in model.tokenize(seen)], (word, node.merges)


def random_node(rng: random.Random, **options: Any) -> nodes.BPE:
    """A vocabulary over a few letters with rules in any order: results are used before they are made."""
    alphabet = "abcd"[: rng.randint(1, 4)]
    tokens, merges = list(alphabet), []
    for _ in range(rng.randint(0, 25)):
        left, right = rng.choice(tokens), rng.choice(tokens)
        if len(left + right) <= 7 and (left, right) not in merges:
            merges.append((left, right))
            if left + right not in tokens:
                tokens.append(left + right)
    rng.shuffle(merges)
    vocab = {token: i for i, token in enumerate([*tokens, "<unk>"])}
    return nodes.BPE(type="BPE", vocab=vocab, merges=tuple(merges), **options)


@pytest.mark.parametrize("seed", range(8))
def test_any_order_of_rules_equals_the_merge_queue(seed: int, full: bool) -> None:
    """Words of many blocks (the longest token has 7 symbols), runs and repetitions."""
    for trial in range(20 if full else 2):
        rng = random.Random(f"{seed} {trial}")
        node = random_node(rng, ignore_merges=rng.random() < 0.3, unk_token=rng.choice([None, "<unk>"]))
        letters = [token for token in node.vocab if len(token) == 1]
        words = [
            "".join(
                rng.choices(
                    [*letters, "x", "é"], [9] * len(letters) + [1, 1], k=rng.choice([1, 3, 8, 30, 150])
                )
            )
            for _ in range(300)
        ]
        words += [unit * 70 for unit in ("a", "ab", "aab", "aba", "abc")] + ["b" + "a" * 90, "a" * 91 + "b"]
        assert_equal_words(node, words, byte_level=rng.random() < 0.3)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"unk_token": "<unk>"},
        {"unk_token": "<unk>", "fuse_unk": True},
        {"unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True},
    ],
    ids=str,
)
def test_unknown_characters(options: dict[str, Any]) -> None:
    merges = (("a", "b"), ("ab", "c"), ("<unk>", "a"), ("<0xC3>", "<0xA9>"))
    tokens = ["<unk>", "a", "b", "c", "ab", "abc", "<unk>a", "<0xC3><0xA9>", "語"]
    tokens += [f"<0x{byte:02X}>" for byte in range(256)]
    node = nodes.BPE(type="BPE", vocab={t: i for i, t in enumerate(tokens)}, merges=merges, **options)
    words = [
        "abc",
        "xyabc",
        "xéyab語",
        "é",
        "日本",
        "aéé語b",
        "\U0001f600a",
        "x\0y",
        "<0x41>",
        "<unk>",
        "€",
        "\x7f",
    ]
    assert_equal_words(node, words)


@pytest.mark.parametrize(
    "affix", [{"continuing_subword_prefix": "##"}, {"end_of_word_suffix": "</w>"}], ids=str
)
@pytest.mark.parametrize("unk", [None, "<unk>"])
def test_affixes(affix: dict[str, str], unk: str | None) -> None:
    trained = tokenizers.Tokenizer(tokenizers.models.BPE(unk_token=unk, **affix))
    trained.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    texts = ["low lower lowest newer new wide wider widest slow slowest", "été têtes bêtes"] * 5
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=90, special_tokens=["<unk>"], show_progress=False, **affix
    )
    trained.train_from_iterator(texts, trainer)
    node = _node_of(trained)
    words = [*" ".join(texts).split(), "l", "xlow", "lowx", "xx", "slower", "é", "éé", "wx", "##w", "w</w>"]
    assert_equal_words(node, words)


def _node_of(tokenizer: tokenizers.Tokenizer) -> nodes.BPE:
    node = nodes.parse_tokenizer(json.loads(tokenizer.to_str())).model
    assert isinstance(node, nodes.BPE)
    return node


@pytest.fixture(scope="module")
def byte_level() -> nodes.BPE:
    """A byte-level model trained on a little text."""
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    trainer = tokenizers.trainers.BpeTrainer(vocab_size=420, initial_alphabet=alphabet, show_progress=False)
    texts = ["the quick brown fox jumps over the lazy dog, while we're all asleep\n\n  "] * 4 + [
        "пример текста 日本語"
    ]
    tokenizer.train_from_iterator(texts, trainer)
    return _node_of(tokenizer)


def test_byte_level_reads_any_word(byte_level: nodes.BPE, full: bool) -> None:
    function = graph(build_model(byte_level, byte_level=True), WORDS)

    @settings(max_examples=1000 if full else 60, deadline=None)
    @given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), max_size=8))
    def check(words: list[str]) -> None:
        assert_equal_words(byte_level, words, byte_level=True, function=function)

    check()


def test_whole_words_hold_any_byte(byte_level: nodes.BPE) -> None:
    """With ignore_merges a word in the vocabulary is one token, even where merging would not make it."""
    extra = ["Ċĉ", "Ā", "ĀĀ", "foxĀ", "tt"]  # newline + tab, NUL, two NULs, a trailing NUL
    vocab = byte_level.vocab | {token: 1000 + i for i, token in enumerate(extra)}
    node = byte_level.model_copy(update={"vocab": vocab, "ignore_merges": True})
    assert_equal_words(node, ["\n\t", "\0", "\0\0", "fox\0", "tt", "fox", "\n\t\n", "ttt"], byte_level=True)


def test_saved_and_loaded_without_us(byte_level: nodes.BPE, tmp_path: Path) -> None:
    words = ["the", "brownish", "日本", "\n\n", "x\0"]
    model = reference(byte_level)
    expected = [
        [token.id for token in model.tokenize("".join(STAND_INS[byte] for byte in word.encode()))]
        for word in words
    ]
    module = build_model(byte_level, byte_level=True)
    assert reloaded_encode(module, [word.encode() for word in words], tmp_path) == expected


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"dropout": 0.1}, "model.dropout"),
        ({"byte_fallback": True, "end_of_word_suffix": "</w>"}, "model.byte_fallback"),
        ({"byte_fallback": True, "vocab": {"a": 0, "<0xC3>": 1}}, "model.byte_fallback"),
        ({"merges": (("a", "b"),)}, "model.merges[0]"),
        ({"unk_token": "<unk>"}, "model.unk_token"),
        ({"vocab": {"a": 0, "b": 0}}, "model.vocab"),
    ],
    ids=str,
)
def test_refused(change: dict[str, Any], named: str) -> None:
    node = nodes.BPE(type="BPE", vocab={"a": 0}, merges=()).model_copy(update=change)
    with pytest.raises(TokenizerUnsupportedError) as caught:
        build_model(node)
    assert caught.value.path == named


@pytest.mark.parity
@pytest.mark.parametrize(
    "name",
    [
        *("gpt2", "mistral-7b-v0.1", "clip", "barthez"),
        *(
            pytest.param(name, marks=pytest.mark.full)
            for name in (
                "gpt-neox-20b",
                "gpt-oss",
                "mistral-nemo",
                "phi-3-mini",
                "qwen2",
                "roberta-base",
                "whisper-tiny",
            )
        ),
    ],
)
def test_real_vocabularies(name: str, test_data: Path, full: bool) -> None:
    file = folder_of(name) / "tokenizer.json"
    tokenizer = tokenizers.Tokenizer.from_file(str(file))
    node = nodes.read_tokenizer(file).model
    assert isinstance(node, nodes.BPE)
    text = (test_data / "corpora" / "udhr_all.txt").read_text(encoding="utf-8")
    text = text if full else text[::37] + text[:20_000]
    if tokenizer.normalizer:
        text = tokenizer.normalizer.normalize_str(text)
    words = [text]
    if tokenizer.pre_tokenizer:
        words = [word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(text)]
    byte_level = '"ByteLevel"' in file.read_text(encoding="utf-8").split('"post_processor"')[0]
    if byte_level:
        alphabet = byte_alphabet()
        words = [bytes(alphabet[character] for character in word).decode(errors="ignore") for word in words]
    rng = random.Random(name)
    words += ["".join(rng.choices("etaoinshrdlu", k=3000)), "e" * 5000, "ab" * 2000, "▁" * 999 + "e"]
    assert_equal_words(node, words, byte_level)
