"""Small tokenizers of every kind that transformers has in Python only, made of models trained here."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sentencepiece
import tokenizers
from transformers import BlenderbotSmallTokenizer, ByT5Tokenizer, M2M100Tokenizer, MarianTokenizer

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


def train(path: Path, kind: str, **options: Any) -> sentencepiece.SentencePieceProcessor:
    """A small SentencePiece model."""
    text = (line for line in LINES * 20 if line.strip() and "\0" not in line)
    sentencepiece.SentencePieceTrainer.Train(
        sentence_iterator=text, model_writer=(writer := path.open("wb")), vocab_size=150, model_type=kind,
        hard_vocab_limit=False, character_coverage=0.98, minloglevel=2, **options,
    )  # fmt: skip
    writer.close()
    return sentencepiece.SentencePieceProcessor(model_file=str(path))


def marian(folder: Path, separate: bool) -> MarianTokenizer:
    """Numbers that have nothing to do with the models', pieces that are missing, and some of no model."""
    source = train(folder / "source.spm", "unigram")
    target = train(folder / "target.spm", "unigram", seed_sentencepiece_size=500)
    pieces = {spm.id_to_piece(i) for spm in (source, target) for i in range(3, spm.vocab_size())}
    known = sorted(pieces)[::-1][5:]
    vocab = _numbered(["</s>", "<unk>", *known, "Д", "ж", "▁q", ">>fr<<", "<pad>"])
    options: dict[str, Any] = {}
    if separate:
        others = [word for word in vocab if not word.startswith("<")][::-1]
        numbers = {**_numbered(["</s>", "<unk>", *others]), "<pad>": vocab["<pad>"]}
        file = _write(folder / "target_vocab.json", numbers)
        options = {"separate_vocabs": True, "target_vocab_file": file}
    models = (str(folder / "source.spm"), str(folder / "target.spm"))
    return MarianTokenizer(*models, _write(folder / "vocab.json", vocab), **options)


def m2m100(folder: Path, kind: str) -> M2M100Tokenizer:
    """A vocabulary in another order than the model's, some of whose pieces it lacks."""
    path = folder / "sentencepiece.bpe.model"
    spm = train(path, kind)
    known = (spm.id_to_piece(i) for i in range(spm.vocab_size() - 1, 6, -1))
    vocab = _write(folder / "vocab.json", _numbered(["<s>", "<pad>", "</s>", "<unk>", *known]))
    return M2M100Tokenizer(vocab, str(path), src_lang="fr", tgt_lang="en")


def blenderbot_small(folder: Path) -> BlenderbotSmallTokenizer:
    """Files as they are published: merges with end marks, a vocabulary with ``@@`` marks and gaps."""
    model = tokenizers.Tokenizer(tokenizers.models.BPE(end_of_word_suffix="</w>"))
    model.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    trainer = tokenizers.trainers.BpeTrainer(vocab_size=220, end_of_word_suffix="</w>", show_progress=False)
    model.train_from_iterator([line.lower() for line in LINES] * 5, trainer)
    merges = [" ".join(pair) for pair in json.loads(model.to_str())["model"]["merges"]]
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]), encoding="utf-8")
    marked = [t.removesuffix("</w>") if t.endswith("</w>") else f"{t}@@" for t in model.get_vocab()]
    kept = [token for i, token in enumerate(sorted(marked)) if i % 9]
    words = ["__null__", "__start__", "__end__", "__unk__", "__newln__", *kept, "σ@@", "ς", "i̇"]
    return BlenderbotSmallTokenizer(
        _write(folder / "vocab.json", _numbered(words)), str(folder / "merges.txt")
    )


PYTHON_KINDS: dict[str, Callable[[Path], Any]] = {
    "ByT5": lambda folder: ByT5Tokenizer(),
    "Marian": lambda folder: marian(folder, separate=False),
    "M2M100": lambda folder: m2m100(folder, "bpe"),
    "BlenderbotSmall": blenderbot_small,
}


def write(kind: str, directory: Path) -> Path:
    """Makes a tokenizer and saves it; returns the directory, laid out as a checkpoint's."""
    parts, checkpoint = directory / "parts", directory / "checkpoint"
    parts.mkdir()
    PYTHON_KINDS[kind](parts).save_pretrained(checkpoint)
    return checkpoint


def _numbered(words: list[str]) -> dict[str, int]:
    return {word: i for i, word in enumerate(dict.fromkeys(words))}


def _write(path: Path, content: Any) -> str:
    path.write_text(json.dumps(content), encoding="utf-8")
    return str(path)
