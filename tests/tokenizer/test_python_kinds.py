"""Python-only tokenizers: the compiled graph against the transformers object, encoding and decoding."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
import tensorflow as tf
import tokenizers
from transformers import (
    BlenderbotSmallTokenizer,
    ByT5Tokenizer,
    M2M100Tokenizer,
    MarianTokenizer,
)

from exporter.errors import TokenizerUnsupportedError
from exporter.tokenizer.python_kinds import build_python_kind
from exporter.tokenizer.python_kinds.lower import Lower
from exporter.tokenizer.python_kinds.sentencepiece import SentencePieces
from exporter.tokenizer.sources import PythonSource, Settings
from tests.tokenizer.graphs import WORDS, graph, reloaded_encode
from tests.tokenizer.support import every_code_point, tensor

LINES = [
    "The quick brown fox jumps over the lazy dog, doesn't it?",
    "Été: l'œuvre d'un garçon naïf; 12 345,67 € (III)",
    "日本語のテキスト、テストです。ﾊﾝｶｸ ＦＵＬＬ",
    "Большой взрыв ▁ underscore ▁▁ and   spaces\t tabs\n lines \x1c end ",
    "  leading and trailing  ", "", " ", "a", "\0", "x\0y", ">>fr<< Hello", ">>xx<<World", ">>no end",
    " >>fr<< late", ">>fr<<", "</s>", "a </s> b", "</s></s>", "a <pad>  <unk>b", "x\u3000</s>\x1f y",
    "<extra_id_0> and <extra_id_12>", "__en__ hi __fr__", "__en____fr__", "____en____",
    "\U0001f600\u200d\U0001f525 \ufeff \u00ad",
]  # fmt: skip


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
    """Ids of many texts (in the full run without special tokens, too) and of every code point, and texts of
    these ids and of any, those outside the vocabulary included.
    """
    module = compiled(tokenizer, **options)
    found = texts(seed, 5000 if full else 200)
    for around in (False, True) if full else (True,):
        encode = graph(lambda words, around=around: module.encode(words, around), WORDS)
        ids = encode(tf.constant([text.encode() for text in found], tf.string)).to_list()
        plain = {"split_special_tokens": True} if options.get("special_tokens_in_text") is False else {}
        for text, row in zip(found, ids, strict=True):
            assert row == tokenizer(text, add_special_tokens=around, **plain)["input_ids"], text
    every = next(every_code_point(False))[:: 1 if full else 40]
    for start in range(0, len(every), 50):  # all of them at once are long texts that take much memory
        part = every[start : start + 50]
        for text, row in zip(part, encode(tensor(part)).to_list(), strict=True):
            assert row == tokenizer(text, **plain)["input_ids"], text[:8]
    rng = random.Random(seed)
    rows = [row for row in ids if row]
    rows += [rng.choices(range(module.vocab_size + 8), k=rng.randint(1, 20)) for _ in range(len(found))]
    rows = [[i for i in row if _known(tokenizer, i)] for row in rows]
    assert_decodes(tokenizer, module, rows, bool(options.get("clean_up")))


def _known(tokenizer: Any, i: int) -> bool:
    """Ids that the reference itself can decode."""
    try:
        tokenizer.decode([i])
    except (IndexError, ValueError, TypeError):
        return False
    return True


def assert_decodes(tokenizer: Any, module: Any, rows: list[list[int]], clean_up: bool) -> None:
    signature = [tf.TensorSpec([None, None], tf.int32), tf.TensorSpec([None], tf.int32)]
    ragged = tf.ragged.constant([*rows, []], tf.int32, ragged_rank=1)
    lengths = tf.cast(ragged.row_lengths(), tf.int32)
    ours = graph(module.decode, signature)(ragged.to_tensor(-1), lengths).numpy().tolist()
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


def train(path: Path, kind: str, **options: Any) -> sentencepiece.SentencePieceProcessor:
    """A small SentencePiece model."""
    text = (line for line in LINES * 20 if line.strip() and "\0" not in line)
    sentencepiece.SentencePieceTrainer.Train(
        sentence_iterator=text, model_writer=(writer := path.open("wb")), vocab_size=150, model_type=kind,
        hard_vocab_limit=False, character_coverage=0.98, minloglevel=2, **options,
    )  # fmt: skip
    writer.close()
    return sentencepiece.SentencePieceProcessor(model_file=str(path))


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
    function = graph(SentencePieces(tmp_path / "model"), WORDS)
    found = texts(kind, 20_000 if full else 1000)
    pieces = function(tf.constant([text.encode() for text in found], tf.string)).to_list()
    for text, row in zip(found, pieces, strict=True):
        assert [piece.decode() for piece in row] == library.encode(text, out_type=str), text


def test_sentencepiece_refused(tmp_path: Path) -> None:
    train(tmp_path / "model", "unigram", user_defined_symbols=["fox"])
    with pytest.raises(TokenizerUnsupportedError, match="user-defined symbol 'fox'"):
        SentencePieces(tmp_path / "model")
    train(tmp_path / "model", "char")
    with pytest.raises(TokenizerUnsupportedError, match="only Unigram and BPE"):
        SentencePieces(tmp_path / "model")


def write(path: Path, content: Any) -> str:
    path.write_text(json.dumps(content), encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module", params=["joint", "separate"])
def marian(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> MarianTokenizer:
    """Numbers that have nothing to do with the models', pieces that are missing, and some of no model."""
    folder = tmp_path_factory.mktemp("marian")
    source, target = (
        train(folder / "source.spm", "unigram"),
        train(folder / "target.spm", "unigram", seed_sentencepiece_size=500),
    )
    pieces = {spm.id_to_piece(i) for spm in (source, target) for i in range(3, spm.vocab_size())}
    known = sorted(pieces)[::-1][5:]
    words = ["</s>", "<unk>", *known, "Д", "ж", "▁q", ">>fr<<", "<pad>"]
    vocab = {word: i for i, word in enumerate(dict.fromkeys(words))}
    options: dict[str, Any] = {}
    if request.param == "separate":
        others = [word for word in vocab if not word.startswith("<")][::-1]
        target = {"</s>": 0, "<unk>": 1} | {word: i for i, word in enumerate(others, start=2)}
        target["<pad>"] = vocab["<pad>"]
        options = {
            "separate_vocabs": True,
            "target_vocab_file": write(folder / "target_vocab.json", target),
        }
    return MarianTokenizer(
        str(folder / "source.spm"), str(folder / "target.spm"), write(folder / "vocab.json", vocab), **options
    )


def test_marian(marian: MarianTokenizer, full: bool) -> None:
    assert_equals(marian, "marian", full, special_tokens_in_text=marian.separate_vocabs)


def test_saved_and_loaded_without_us(marian: MarianTokenizer, tmp_path: Path) -> None:
    found = [">>fr<<the (III) fox", "日本語 ﾊﾝｶｸ</s> x", ""]
    loaded = reloaded_encode(compiled(marian), [text.encode() for text in found], tmp_path)
    assert loaded == marian(found)["input_ids"]


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_m2m100(kind: str, tmp_path: Path, full: bool) -> None:
    spm = train(tmp_path / "sentencepiece.bpe.model", kind)
    words = [
        "<s>",
        "<pad>",
        "</s>",
        "<unk>",
        *(spm.id_to_piece(i) for i in range(spm.vocab_size() - 1, 6, -1)),
    ]
    vocab = {word: i for i, word in enumerate(dict.fromkeys(words))}
    files = (write(tmp_path / "vocab.json", vocab), str(tmp_path / "sentencepiece.bpe.model"))
    assert_equals(M2M100Tokenizer(*files, src_lang="fr", tgt_lang="en"), "m2m", full)


@pytest.mark.parity
def test_real_marian(shared: Path, full: bool) -> None:
    tokenizer = MarianTokenizer.from_pretrained(str(shared / "tokenizers" / "opus-mt-en-mg"))
    assert_equals(tokenizer, "real", full)
    lines = (shared / "corpora" / "udhr_all.txt").read_text(encoding="utf-8").splitlines()
    lines = lines if full else lines[::60]
    encode = graph(compiled(tokenizer).encode, WORDS)
    ours = encode(tf.constant([line.encode() for line in lines], tf.string)).to_list()
    assert ours == tokenizer(lines)["input_ids"]


def test_others_are_refused() -> None:
    bio_gpt = type("BioGptTokenizer", (), {"eos_token_id": 2})()  # the real one needs sacremoses
    with pytest.raises(TokenizerUnsupportedError, match=r"BioGptTokenizer: .*--tokenizer none"):
        compiled(bio_gpt)


def test_special_tokens_are_always_skipped() -> None:
    with pytest.raises(TokenizerUnsupportedError, match="skip_special_tokens"):
        compiled(ByT5Tokenizer(), skip_special_tokens=False)


@pytest.fixture(scope="module")
def blenderbot_files(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Files as they are published: merges with end marks, a vocabulary with ``@@`` marks and gaps."""
    folder = tmp_path_factory.mktemp("blenderbot_small")
    model = tokenizers.Tokenizer(tokenizers.models.BPE(end_of_word_suffix="</w>"))
    model.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    trainer = tokenizers.trainers.BpeTrainer(vocab_size=220, end_of_word_suffix="</w>", show_progress=False)
    model.train_from_iterator([line.lower() for line in LINES] * 5, trainer)
    merges = [" ".join(pair) for pair in json.loads(model.to_str())["model"]["merges"]]
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]), encoding="utf-8")
    marked = [t.removesuffix("</w>") if t.endswith("</w>") else f"{t}@@" for t in model.get_vocab()]
    kept = [token for i, token in enumerate(sorted(marked)) if i % 9]
    words = ["__null__", "__start__", "__end__", "__unk__", "__newln__", *kept, "σ@@", "ς", "i̇"]
    vocab = {word: i for i, word in enumerate(dict.fromkeys(words))}
    return write(folder / "vocab.json", vocab), str(folder / "merges.txt")


def test_blenderbot_small(blenderbot_files: tuple[str, str], full: bool) -> None:
    tokenizer = BlenderbotSmallTokenizer(*blenderbot_files)
    assert_equals(tokenizer, "blenderbot", full)
    encode = graph(compiled(tokenizer).encode, WORDS)
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
    ours = encode(tf.constant([text.encode() for text in found], tf.string)).to_list()
    assert ours == [tokenizer(text)["input_ids"] for text in found]


def test_blenderbot_small_refuses_rules_out_of_order(
    blenderbot_files: tuple[str, str], tmp_path: Path
) -> None:
    (tmp_path / "merges.txt").write_text("#version: 0.2\nth e\nt h\n\n", encoding="utf-8")
    with pytest.raises(TokenizerUnsupportedError, match="used by an earlier rule"):
        compiled(BlenderbotSmallTokenizer(blenderbot_files[0], str(tmp_path / "merges.txt")))


def test_lower_case_as_python_does() -> None:
    """Every character alone and between letters, and capital sigmas in all surroundings."""
    rng = random.Random(0)
    every = [chr(point) for point in range(1, 0x110000) if not 0xD800 <= point < 0xE000]
    found = ["".join(every), *(f"A{a}Σ{b}Bσ" for a, b in zip(every[::50], every[7::50], strict=False))]
    found += ["".join(rng.choices("ΣΣσAa.'\u0301\u0345 1İ日ʰ", k=rng.randint(1, 8))) for _ in range(5000)]
    ours = graph(Lower(), WORDS)(tf.constant([text.encode() for text in found], tf.string)).numpy()
    for text, low in zip(found, ours, strict=True):
        assert low.decode() == text.lower(), text[:20]
