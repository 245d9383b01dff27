"""Tokenizers for the benchmark where no published ones are at hand: trained on this package's own sources.

Each has the pipeline of a published kind, and a vocabulary as large as the text gives.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tokenizers.implementations import (
    BaseTokenizer,
    BertWordPieceTokenizer,
    ByteLevelBPETokenizer,
    SentencePieceBPETokenizer,
    SentencePieceUnigramTokenizer,
)

_PACKAGE = Path(__file__).resolve().parents[2] / "exporter"
_VOCABULARY = 4000
_UNKNOWN = "<unk>"


def package_text() -> str:
    """The sources of this package, one after another: about a megabyte, mostly English words and code."""
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted(_PACKAGE.rglob("*.py")))


def make_tokenizer(name: str, directory: Path) -> Path:
    """Trains the tokenizer ``name`` of ``MADE`` and writes its files; returns ``directory``.

    That is tokenizer.json, and of byte-level BPE vocab.json and merges.txt, which KerasHub reads.
    """
    directory.mkdir(parents=True, exist_ok=True)
    _, make = MADE[name]
    tokenizer = make(package_text().splitlines(keepends=True))
    tokenizer.save(str(directory / "tokenizer.json"))
    if isinstance(tokenizer, ByteLevelBPETokenizer):
        tokenizer.save_model(str(directory))
    return directory


def _byte_level(lines: list[str]) -> BaseTokenizer:
    tokenizer = ByteLevelBPETokenizer()
    tokenizer.train_from_iterator(lines, _VOCABULARY, show_progress=False, special_tokens=["<|endoftext|>"])
    return tokenizer


def _sentencepiece_bpe(lines: list[str]) -> BaseTokenizer:
    tokenizer = SentencePieceBPETokenizer(unk_token=_UNKNOWN)
    tokenizer.train_from_iterator(lines, _VOCABULARY, show_progress=False, special_tokens=[_UNKNOWN])
    return tokenizer


def _unigram(lines: list[str]) -> BaseTokenizer:
    tokenizer = SentencePieceUnigramTokenizer()
    tokenizer.train_from_iterator(
        lines, _VOCABULARY, show_progress=False, special_tokens=[_UNKNOWN], unk_token=_UNKNOWN
    )
    return tokenizer


def _word_piece(lines: list[str]) -> BaseTokenizer:
    tokenizer = BertWordPieceTokenizer()
    tokenizer.train_from_iterator(lines, _VOCABULARY, show_progress=False)
    return tokenizer


#: Name -> (pipeline in words, trainer).
MADE: dict[str, tuple[str, Callable[[list[str]], BaseTokenizer]]] = {
    "made-byte-level-bpe": ("byte-level BPE", _byte_level),
    "made-sentencepiece-bpe": ("SentencePiece BPE, Metaspace", _sentencepiece_bpe),
    "made-unigram": ("SentencePiece Unigram", _unigram),
    "made-wordpiece": ("WordPiece", _word_piece),
}
