"""Language options against the reference's tokenizers, built tiny here."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
import tensorflow as tf
import transformers

from exporter.errors import OptionError
from exporter.languages import Languages, resolve_languages

WORDS = ["▁a", "▁b", "▁he", "llo", "▁wor", "ld", "▁"]
TEXTS = ["hello world", "a b a", ""]


def unigram() -> list[tuple[str, float]]:
    specials = [(token, 0.0) for token in ("<s>", "<pad>", "</s>", "<unk>")]
    return [*specials, *((word, -float(i)) for i, word in enumerate(WORDS, 1))]


def mbart(path: Path) -> Any:
    codes = [(code, 0.0) for code in ("de_DE", "en_XX", "fr_XX")]
    tokenizer = transformers.MBartTokenizer(vocab=[*unigram(), *codes, ("<mask>", 0.0)])
    tokenizer.save_pretrained(path)
    (path / "config.json").write_text(json.dumps({"model_type": "mbart"}))
    return tokenizer


def mbart50(path: Path) -> Any:
    tokenizer = transformers.MBart50Tokenizer(vocab=unigram())
    tokenizer.save_pretrained(path)
    (path / "config.json").write_text(json.dumps({"model_type": "mbart"}))
    return tokenizer


def nllb(path: Path, **options: Any) -> Any:
    tokens = ["<s>", "<pad>", "</s>", "<unk>", *"▁abhelowrd"]
    vocab = {token: index for index, token in enumerate(tokens)}
    tokenizer = transformers.NllbTokenizer(vocab=vocab, merges=[], **options)
    tokenizer.save_pretrained(path)
    (path / "config.json").write_text(json.dumps({"model_type": "m2m_100"}))
    return tokenizer


def nllb_legacy(path: Path) -> Any:
    return nllb(path, legacy_behaviour=True)


def sentencepiece_model() -> bytes:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["hello world", "a b a b", "world hello a"] * 20),
        model_writer=model,
        vocab_size=24,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    return model.getvalue()


def pieces(model: bytes) -> list[str]:
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    return [processor.id_to_piece(index) for index in range(3, processor.get_piece_size())]


def m2m_100(path: Path) -> Any:
    model = sentencepiece_model()
    (path / "sentencepiece.bpe.model").write_bytes(model)
    vocab = {token: i for i, token in enumerate(["<s>", "<pad>", "</s>", "<unk>", *pieces(model)])}
    (path / "vocab.json").write_text(json.dumps(vocab))
    tokenizer = transformers.M2M100Tokenizer(str(path / "vocab.json"), str(path / "sentencepiece.bpe.model"))
    tokenizer.save_pretrained(path)
    (path / "config.json").write_text(json.dumps({"model_type": "m2m_100"}))
    return tokenizer


def marian(path: Path, codes: tuple[str, ...] = (">>fra<<", ">>ita<<")) -> Any:
    model = sentencepiece_model()
    for name in ("source.spm", "target.spm"):
        (path / name).write_bytes(model)
    vocab = {token: i for i, token in enumerate(["</s>", "<unk>", *codes, *pieces(model), "<pad>"])}
    (path / "vocab.json").write_text(json.dumps(vocab))
    files = {"source_spm": "source.spm", "target_spm": "target.spm", "vocab": "vocab.json"}
    tokenizer = transformers.MarianTokenizer(**{key: str(path / name) for key, name in files.items()})
    tokenizer.save_pretrained(path)
    (path / "config.json").write_text(json.dumps({"model_type": "marian"}))
    return tokenizer


def framed(languages: Languages, tokenizer: Any) -> list[list[int]]:
    plain = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in TEXTS]
    return languages.frame(tf.ragged.constant(plain, tf.int32)).to_list()


@pytest.mark.parametrize(
    ("build", "source", "target", "option"),
    [
        (mbart, "de_DE", "fr_XX", "decoder_start_token_id"),
        (mbart50, "de_DE", "fr_XX", "forced_bos_token_id"),
        (nllb, "deu_Latn", "fra_Latn", "forced_bos_token_id"),
        (nllb_legacy, "deu_Latn", "fra_Latn", "forced_bos_token_id"),
        (m2m_100, "de", "fr", "forced_bos_token_id"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_both_languages(tmp_path: Path, build: Any, source: str, target: str, option: str) -> None:
    tokenizer = build(tmp_path)
    default = [tokenizer(text)["input_ids"] for text in TEXTS]
    languages = resolve_languages(tmp_path, source, target)
    assert languages is not None
    tokenizer.src_lang = source
    expected = [tokenizer(text)["input_ids"] for text in TEXTS]
    assert framed(languages, tokenizer) == expected != default
    inputs = tokenizer._build_translation_inputs(
        TEXTS[:1], return_tensors=None, src_lang=source, tgt_lang=target
    )
    assert languages.generation == {option: inputs["forced_bos_token_id"]}
    assert languages.codes[target] == inputs["forced_bos_token_id"]
    only_target = resolve_languages(tmp_path, None, target)
    assert only_target is not None
    assert framed(only_target, tokenizer) == default


def test_marian_puts_the_target_into_the_text(tmp_path: Path) -> None:
    tokenizer = marian(tmp_path)
    languages = resolve_languages(tmp_path, None, "ita")
    assert languages is not None
    assert languages.generation == {}
    ids = tokenizer(languages.text_prefix + "hello world")["input_ids"]
    assert ids == [languages.codes["ita"], *tokenizer("hello world")["input_ids"]]
    with pytest.raises(OptionError, match=r"target_lang='itt' .*did you mean 'ita'.*allowed: fra, ita"):
        resolve_languages(tmp_path, None, "itt")
    with pytest.raises(OptionError, match=r"source_lang='eng'.*reads one language"):
        resolve_languages(tmp_path, "eng", "ita")


def test_marian_with_one_target(tmp_path: Path) -> None:
    marian(tmp_path, ())
    with pytest.raises(OptionError, match=r"target_lang='fra'.*writes one language"):
        resolve_languages(tmp_path, None, "fra")


def test_unknown_language(tmp_path: Path) -> None:
    nllb(tmp_path)
    with pytest.raises(
        OptionError, match=r"source_lang='deu_Lat' .*did you mean 'deu_Latn'.*allowed: ace_Arab,"
    ):
        resolve_languages(tmp_path, "deu_Lat", "fra_Latn")
    with pytest.raises(OptionError, match="target_lang='<pad>' is not known"):
        resolve_languages(tmp_path, None, "<pad>")


def test_tokenizer_without_languages(shared: Path) -> None:
    assert resolve_languages(shared / "tokenizers" / "gpt2", None, None) is None
    with pytest.raises(OptionError, match=r"source_lang='en': .* knows no languages"):
        resolve_languages(shared / "tokenizers" / "gpt2", "en", None)


def test_the_module_is_light() -> None:
    code = "import sys, exporter.languages; print({'tensorflow', 'transformers', 'torch'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"
