"""Tiny translation tokenizers in the reference's own format, and checkpoints around them."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import sentencepiece
import torch
import transformers

WORDS = ["▁a", "▁b", "▁he", "llo", "▁wor", "ld", "▁"]
TEXTS = ["hello world", "a b a", ""]


def _unigram() -> list[tuple[str, float]]:
    specials = [(token, 0.0) for token in ("<s>", "<pad>", "</s>", "<unk>")]
    return [*specials, *((word, -float(i)) for i, word in enumerate(WORDS, 1))]


def _saved(tokenizer: Any, path: Path, model_type: str) -> Any:
    tokenizer.save_pretrained(path)
    (path / "config.json").write_text(json.dumps({"model_type": model_type}))
    return tokenizer


def mbart(path: Path) -> Any:
    codes = [(code, 0.0) for code in ("de_DE", "en_XX", "fr_XX")]
    tokenizer = transformers.MBartTokenizer(vocab=[*_unigram(), *codes, ("<mask>", 0.0)])
    return _saved(tokenizer, path, "mbart")


def mbart50(path: Path) -> Any:
    return _saved(transformers.MBart50Tokenizer(vocab=_unigram()), path, "mbart")


def nllb(path: Path, **options: Any) -> Any:
    tokens = ["<s>", "<pad>", "</s>", "<unk>", *"▁abhelowrd"]
    vocab = {token: index for index, token in enumerate(tokens)}
    return _saved(transformers.NllbTokenizer(vocab=vocab, merges=[], **options), path, "m2m_100")


def nllb_legacy(path: Path) -> Any:
    return nllb(path, legacy_behaviour=True)


def sentencepiece_model(sentences: Sequence[str] = ("hello world", "a b a b", "world hello a")) -> bytes:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([*sentences] * 20),
        model_writer=model,
        vocab_size=24,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    return model.getvalue()


def _pieces(model: bytes) -> list[str]:
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    return [processor.id_to_piece(index) for index in range(3, processor.get_piece_size())]


def m2m_100(path: Path) -> Any:
    model = sentencepiece_model()
    (path / "sentencepiece.bpe.model").write_bytes(model)
    vocab = {token: i for i, token in enumerate(["<s>", "<pad>", "</s>", "<unk>", *_pieces(model)])}
    (path / "vocab.json").write_text(json.dumps(vocab))
    tokenizer = transformers.M2M100Tokenizer(str(path / "vocab.json"), str(path / "sentencepiece.bpe.model"))
    return _saved(tokenizer, path, "m2m_100")


def marian(path: Path, codes: tuple[str, ...] = (">>fra<<", ">>ita<<"), target: bytes | None = None) -> Any:
    model = sentencepiece_model()
    (path / "source.spm").write_bytes(model)
    (path / "target.spm").write_bytes(target or model)
    vocab = {token: i for i, token in enumerate(["</s>", "<unk>", *codes, *_pieces(model), "<pad>"])}
    (path / "vocab.json").write_text(json.dumps(vocab))
    files = {"source_spm": "source.spm", "target_spm": "target.spm", "vocab": "vocab.json"}
    tokenizer = transformers.MarianTokenizer(**{key: str(path / name) for key, name in files.items()})
    return _saved(tokenizer, path, "marian")


def plbart(path: Path) -> Any:
    (path / "sentencepiece.bpe.model").write_bytes(sentencepiece_model())
    tokenizer = transformers.PLBartTokenizer(str(path / "sentencepiece.bpe.model"), language_codes="base")
    return _saved(tokenizer, path, "plbart")


#: Tokenizer -> config and model class of ``transformers``.
MODELS = {
    mbart: ("MBartConfig", "MBartForConditionalGeneration"),
    mbart50: ("MBartConfig", "MBartForConditionalGeneration"),
    nllb: ("M2M100Config", "M2M100ForConditionalGeneration"),
    m2m_100: ("M2M100Config", "M2M100ForConditionalGeneration"),
    marian: ("MarianConfig", "MarianMTModel"),
    plbart: ("PLBartConfig", "PLBartForConditionalGeneration"),
}


def checkpoint(build: Any, path: Path, **options: Any) -> tuple[Any, Any]:
    """A tokenizer and a tiny random model of its vocabulary in ``path``: both, as the reference has them."""
    tokenizer = build(path, **options)
    config_class, model_class = MODELS[build]
    torch.manual_seed(2)
    # Not len(tokenizer): M2M-100's codes are behind what it counts.
    codes = tokenizer.lang_code_to_token if build is m2m_100 else {}
    config = getattr(transformers, config_class)(
        vocab_size=len(tokenizer) + len(codes),
        d_model=16,
        encoder_layers=1,
        decoder_layers=2,
        encoder_ffn_dim=24,
        decoder_ffn_dim=24,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        max_position_embeddings=64,
        bos_token_id=tokenizer.bos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        decoder_start_token_id=tokenizer.pad_token_id if build is marian else tokenizer.eos_token_id,
        forced_eos_token_id=tokenizer.eos_token_id,
    )
    model = getattr(transformers, model_class)(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            wide = any(part in name for part in ("shared", "embed_tokens"))
            parameter.add_(torch.randn_like(parameter) * (1.5 if wide else 0.6))
    model.save_pretrained(path)
    # What is left out of checkpoints (sinusoids) has been changed above.
    return tokenizer, type(model).from_pretrained(path)
