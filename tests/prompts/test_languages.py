"""Language options against the reference's tokenizers, built tiny here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from exporter.errors import OptionError
from exporter.prompts.languages import Frame, framed, resolve_languages
from tests.prompts.builders import TEXTS, m2m_100, marian, mbart, mbart50, nllb, nllb_legacy, plbart
from tests.tokenizer.published import folder_of


def around(frame: Frame | None, tokenizer: Any) -> list[list[int]]:
    plain = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in TEXTS]
    assert frame is not None
    return framed(tf.ragged.constant(plain, tf.int32), frame).to_list()


@pytest.mark.parametrize(
    ("build", "source", "target", "option"),
    [
        (mbart, "de_DE", "fr_XX", "decoder_start_token_id"),
        (mbart50, "de_DE", "fr_XX", "forced_bos_token_id"),
        (nllb, "deu_Latn", "fra_Latn", "forced_bos_token_id"),
        (nllb_legacy, "deu_Latn", "fra_Latn", "forced_bos_token_id"),
        (m2m_100, "de", "fr", "forced_bos_token_id"),
        (plbart, "python", "java", "decoder_start_token_id"),
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
    assert around(languages.source, tokenizer) == expected != default
    tokenizer.tgt_lang = target
    assert around(languages.target, tokenizer) == [tokenizer(text_target=text)["input_ids"] for text in TEXTS]
    tokenizer.src_lang = source
    inputs = tokenizer._build_translation_inputs(
        TEXTS[:1], return_tensors=None, src_lang=source, tgt_lang=target
    )
    assert languages.generation == {option: inputs["forced_bos_token_id"]}
    assert inputs["forced_bos_token_id"] in {languages.codes.get(code) for code in (target, f"__{target}__")}
    only_target = resolve_languages(tmp_path, None, target)
    assert only_target is not None
    assert around(only_target.source, tokenizer) == default
    only_source = resolve_languages(tmp_path, source, None)
    assert only_source is not None
    assert only_source.target is None


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


def test_tokenizer_without_languages(test_data: Path) -> None:
    assert resolve_languages(folder_of("gpt2"), None, None) is None
    with pytest.raises(OptionError, match=r"source_lang='en': .* knows no languages"):
        resolve_languages(folder_of("gpt2"), "en", None)


def test_the_module_is_light() -> None:
    heavy = "{'tensorflow', 'transformers', 'torch'}"
    code = f"import sys, exporter.prompts.languages; print({heavy} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"
