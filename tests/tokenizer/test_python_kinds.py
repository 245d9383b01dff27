"""Python-only tokenizers: the compiled graph against the transformers object, encoding and decoding.

Strings that are odd for these kinds, and their options; ``test_graph`` puts them through the rest.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from transformers import (
    BlenderbotSmallTokenizer,
    ByT5Tokenizer,
    MarianTokenizer,
)

from exporter.errors import TokenizerUnsupportedError
from exporter.tokenizer.python_kinds import build_python_kind
from exporter.tokenizer.python_kinds.lower import Lower
from exporter.tokenizer.python_kinds.sentencepiece import SentencePieces
from exporter.tokenizer.sources import PythonSource, Settings
from tests.tokenizer import trained_python
from tests.tokenizer.published import folder_of
from tests.tokenizer.served import DECODE
from tests.tokenizer.support import tensor, traced
from tests.tokenizer.trained_python import LINES, blenderbot_small, m2m100, train


def texts(seed: str, count: int) -> list[str]:
    """The lines above, and strings of many scripts, odd spaces and special tokens."""
    rng = random.Random(seed)
    units = [*"abcdeehIIil '.,!?()0159", *"éßœﬁ①½", *"ΣσςİДж日本ﾊ", "\u0301", "\U0001f600", "  ", "\t", "\n",
             "\u3000", "\u2028", "▁", "</s>", "<pad>", "<unk>", ">>fr<<", "__en__", "the", "fox"]  # fmt: skip
    return LINES + ["".join(rng.choices(units, k=rng.randint(1, 25))) for _ in range(count)]


def compiled(tokenizer: Any, **options: Any) -> Any:
    source = PythonSource(tokenizer, Path(), Settings(eos=tokenizer.eos_token_id))
    defaults = {"special_tokens_in_text": True, "skip_special_tokens": True, "clean_up": False}
    return build_python_kind(source, **(defaults | options))


def assert_equals(tokenizer: Any, seed: str, full: bool, **options: Any) -> None:
    """Ids of many texts (in the full run without special tokens, too), and texts of these ids and of any,
    those outside the vocabulary included.
    """
    module = compiled(tokenizer, **options)
    found = texts(seed, 20_000 if full else 2_000)
    plain = {"split_special_tokens": True} if options.get("special_tokens_in_text") is False else {}
    for around in (False, True) if full else (True,):
        encode = traced(lambda words, around=around: module.encode(words, around))
        ids = encode(tensor(found)).to_list()
        for text, row in zip(found, ids, strict=True):
            assert row == tokenizer(text, add_special_tokens=around, **plain)["input_ids"], text
    rng = random.Random(seed)
    rows = [row for row in ids if row]
    rows += [rng.choices(range(module.vocab_size + 8), k=rng.randint(1, 20)) for _ in range(len(found))]
    known = {i for i in {i for row in rows for i in row} if _known(tokenizer, i)}
    rows = [[i for i in row if i in known] for row in rows]
    assert_decodes(tokenizer, module, rows, bool(options.get("clean_up")))


def _known(tokenizer: Any, i: int) -> bool:
    """Ids that the reference itself can decode."""
    try:
        tokenizer.decode([i])
    except (IndexError, ValueError, TypeError):
        return False
    return True


def assert_decodes(tokenizer: Any, module: Any, rows: list[list[int]], clean_up: bool) -> None:
    ragged = tf.ragged.constant([*rows, []], tf.int32, ragged_rank=1)
    lengths = tf.cast(ragged.row_lengths(), tf.int32)
    decode = tf.function(module.decode, DECODE, autograph=False)
    ours = decode(ragged.to_tensor(-1), lengths).numpy().tolist()
    for row, text in zip(rows, ours, strict=False):
        expected = tokenizer.decode(row, skip_special_tokens=True, clean_up_tokenization_spaces=clean_up)
        assert text.decode() == expected, row


@pytest.mark.parametrize("options", [{}, {"extra_ids": 0}], ids=str)
def test_byt5(options: dict[str, Any], full: bool) -> None:
    assert_equals(ByT5Tokenizer(**options), "byt5", full)


def test_byt5_special_tokens_as_plain_text(full: bool) -> None:
    assert_equals(ByT5Tokenizer(), "byt5", full, special_tokens_in_text=False)


def test_byt5_clean_up(full: bool) -> None:
    assert_equals(ByT5Tokenizer(), "byt5", full, clean_up=True)


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"normalization_rule_name": "identity", "remove_extra_whitespaces": False, "add_dummy_prefix": False},
        {"normalization_rule_name": "nmt_nfkc_cf", "split_by_whitespace": False},
    ],
    ids=["plain", "identity", "case_folding"],
)
def test_sentencepiece(kind: str, options: dict[str, Any], tmp_path: Path, full: bool) -> None:
    """The pieces themselves, against the C++ library."""
    library = train(tmp_path / "model", kind, **options)
    function = traced(SentencePieces(tmp_path / "model"))
    found = texts(kind, 20_000 if full else 1000)
    pieces = function(tensor(found)).to_list()
    for text, row in zip(found, pieces, strict=True):
        assert [piece.decode() for piece in row] == library.encode(text, out_type=str), text


def test_sentencepiece_refused(tmp_path: Path) -> None:
    train(tmp_path / "model", "unigram", user_defined_symbols=["fox"])
    with pytest.raises(TokenizerUnsupportedError, match="user-defined symbol 'fox'"):
        SentencePieces(tmp_path / "model")
    train(tmp_path / "model", "char")
    with pytest.raises(TokenizerUnsupportedError, match="only Unigram and BPE"):
        SentencePieces(tmp_path / "model")


@pytest.fixture(scope="module", params=["joint", "separate"])
def marian(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> MarianTokenizer:
    return trained_python.marian(tmp_path_factory.mktemp("marian"), request.param == "separate")


def test_marian(marian: MarianTokenizer, full: bool) -> None:
    assert_equals(marian, "marian", full, special_tokens_in_text=marian.separate_vocabs)


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_m2m100(kind: str, tmp_path: Path, full: bool) -> None:
    assert_equals(m2m100(tmp_path, kind), "m2m", full)


@pytest.mark.parity
def test_real_marian(test_data: Path, full: bool) -> None:
    tokenizer = MarianTokenizer.from_pretrained(str(folder_of("opus-mt-en-mg")))
    assert_equals(tokenizer, "real", full)


def test_others_are_refused() -> None:
    bio_gpt = type("BioGptTokenizer", (), {"eos_token_id": 2})()  # the real one needs sacremoses
    with pytest.raises(TokenizerUnsupportedError, match=r"BioGptTokenizer: .*--tokenizer none"):
        compiled(bio_gpt)


def test_special_tokens_are_always_skipped() -> None:
    with pytest.raises(TokenizerUnsupportedError, match="skip_special_tokens"):
        compiled(ByT5Tokenizer(), skip_special_tokens=False)


def test_blenderbot_small(tmp_path: Path, full: bool) -> None:
    tokenizer = blenderbot_small(tmp_path)
    assert_equals(tokenizer, "blenderbot", full)
    encode = traced(compiled(tokenizer).encode)
    found = [
        "don't'\n stop'.\n",
        "''",
        ".\n",
        "..(a)\n\n b",
        "a\n",
        "\n",
        "__start__ x__end__",
        "__newln__",
        "@@ a@@ b</w>",
    ]
    ours = encode(tensor(found)).to_list()
    assert ours == [tokenizer(text)["input_ids"] for text in found]


def test_blenderbot_small_refuses_rules_out_of_order(tmp_path: Path) -> None:
    blenderbot_small(tmp_path)
    (tmp_path / "merges.txt").write_text("#version: 0.2\nth e\nt h\n\n", encoding="utf-8")
    with pytest.raises(TokenizerUnsupportedError, match="used by an earlier rule"):
        compiled(BlenderbotSmallTokenizer(str(tmp_path / "vocab.json"), str(tmp_path / "merges.txt")))


def test_lower_case_as_python_does() -> None:
    """Every character alone and between letters, and capital sigmas in all surroundings."""
    rng = random.Random(0)
    every = [chr(point) for point in range(1, 0x110000) if not 0xD800 <= point < 0xE000]
    found = ["".join(every), *(f"A{a}Σ{b}Bσ" for a, b in zip(every[::50], every[7::50], strict=False))]
    found += ["".join(rng.choices("ΣΣσAa.'\u0301\u0345 1İ日ʰ", k=rng.randint(1, 8))) for _ in range(5000)]
    ours = traced(Lower())(tensor(found)).numpy()
    for text, low in zip(found, ours, strict=True):
        assert low.decode() == text.lower(), text[:20]
