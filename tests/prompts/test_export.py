"""Translation models exported with their languages: text to text as the reference's own calls give it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import tensorflow as tf
import torch

from exporter.errors import OptionError, TokenizerUnsupportedError
from exporter.exporting.pipeline import export
from exporter.options import make_options
from tests.prompts.builders import (
    checkpoint,
    m2m_100,
    marian,
    mbart,
    mbart50,
    nllb,
    plbart,
    sentencepiece_model,
)

pytestmark = [pytest.mark.parity, pytest.mark.end_to_end]

NEW = 16
TEXTS = ["hello world", "a b a", "hello a b world world"]


class Pair(NamedTuple):
    """A family's languages; ``other`` is a preset's target, ``option`` is what tells generate of a target."""

    build: Callable[..., Any]
    source: str | None
    target: str
    other: str
    option: str


PAIRS = [
    Pair(mbart, "de_DE", "fr_XX", "en_XX", "decoder_start_token_id"),
    Pair(m2m_100, "de", "fr", "en", "forced_bos_token_id"),
    Pair(marian, None, "ita", "fra", ""),
    Pair(nllb, "deu_Latn", "fra_Latn", "eng_Latn", "forced_bos_token_id"),
    Pair(mbart50, "de_DE", "fr_XX", "en_XX", "forced_bos_token_id"),
]
QUICK = {mbart, m2m_100}


class Exported(NamedTuple):
    pair: Pair
    tokenizer: Any
    model: Any
    signatures: Any


def options_of(path: Path, **changes: Any) -> Any:
    return make_options(
        {
            "model": str(path),
            "name": "tiny",
            "max_new_tokens": NEW,
            "prompt_lengths": [32],
            "batch_sizes": [1, 4],
            "warmup": "none",
            "verify": "none",
            **changes,
        }
    )


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(pair, id=pair.build.__name__, marks=() if pair.build in QUICK else pytest.mark.full)
        for pair in PAIRS
    ],
)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    pair: Pair = request.param
    path = tmp_path_factory.mktemp("checkpoint")
    tokenizer, model = checkpoint(pair.build, path)
    options = options_of(
        path,
        generation=shaped(tokenizer),
        source_lang=pair.source,
        target_lang=pair.target,
        signatures={"other": {"target_lang": pair.other, "num_beams": 2}},
        extra_signatures=["generate", "score"],
    )
    version = export(options, tmp_path_factory.mktemp("out")).directory
    return Exported(pair, tokenizer, model, tf.saved_model.load(str(version)).signatures)


def shaped(tokenizer: Any) -> dict[str, Any]:
    """Options that keep random models from writing little else than tokens without text."""
    texts = {token: tokenizer.decode([token], skip_special_tokens=True) for token in range(len(tokenizer))}
    textless = [[token] for token, text in texts.items() if not text and token != tokenizer.eos_token_id]
    return {"bad_words_ids": textless, "min_new_tokens": 6, "no_repeat_ngram_size": 2}


def source_ids(exported: Exported, text: str, target: str) -> torch.Tensor:
    """What the reference's tokenizer makes of a source text."""
    if exported.pair.source is None:
        return exported.tokenizer(f">>{target}<< {text}", return_tensors="pt").input_ids
    exported.tokenizer.src_lang = exported.pair.source
    return exported.tokenizer(text, return_tensors="pt").input_ids


def translate(exported: Exported, text: str, target: str, **options: Any) -> str:
    tokenizer, option = exported.tokenizer, exported.pair.option
    if option:
        code = tokenizer.get_lang_id(target) if exported.pair.build is m2m_100 else None
        options[option] = tokenizer.convert_tokens_to_ids(target) if code is None else code
    options |= shaped(tokenizer)
    with torch.no_grad():
        ids = exported.model.generate(source_ids(exported, text, target), max_new_tokens=NEW, **options)
    return tokenizer.decode(ids[0], skip_special_tokens=True)


def answers(value: Any) -> list[str]:
    return [text.decode() for text in value.numpy()]


def test_text_to_text(exported: Exported) -> None:
    answer = exported.signatures["serving_default"](text=tf.constant(TEXTS))
    assert answers(answer["error"]) == [""] * len(TEXTS)
    expected = [translate(exported, text, exported.pair.target) for text in TEXTS]
    assert answers(answer["generated_text"]) == expected
    assert any(expected)


def test_a_preset_writes_another_language(exported: Exported) -> None:
    answer = exported.signatures["other"](text=tf.constant(TEXTS))
    expected = [translate(exported, text, exported.pair.other, num_beams=2) for text in TEXTS]
    assert answers(answer["generated_text"]) == expected
    greedy = exported.signatures["serving_default"](text=tf.constant(TEXTS))
    assert answers(greedy["generated_text"]) != expected, "the preset's language does nothing here"


def test_score_reads_the_target_language(exported: Exported) -> None:
    targets = ["a b", "world hello", "a"]
    answer = exported.signatures["score"](text=tf.constant(TEXTS), continuation=tf.constant(targets))
    assert answers(answer["error"]) == [""] * len(TEXTS)
    code = exported.pair.target
    for row, (text, target) in enumerate(zip(TEXTS, targets, strict=True)):
        inputs = source_ids(exported, text, code)
        if exported.pair.source is not None:
            exported.tokenizer.tgt_lang = code
        labels = exported.tokenizer(text_target=target, return_tensors="pt").input_ids
        with torch.no_grad():
            loss = exported.model(inputs, labels=labels).loss
        assert answer["num_tokens"][row] == labels.shape[1]
        np.testing.assert_allclose(answer["score"][row], -float(loss) * labels.shape[1], rtol=1e-4)


def test_score_needs_the_target_language(tmp_path: Path) -> None:
    checkpoint(mbart, tmp_path)
    options = options_of(tmp_path, source_lang="de_DE", extra_signatures=["score"])
    with pytest.raises(OptionError, match=r"score .*give target_lang"):
        export(options, tmp_path / "out")


def test_score_is_refused_where_targets_have_a_tokenizer_of_their_own(tmp_path: Path) -> None:
    checkpoint(marian, tmp_path, target=sentencepiece_model(["other words", "b a"]))
    with pytest.raises(OptionError, match=r"score: .*target\.spm"):
        export(options_of(tmp_path, extra_signatures=["score"]), tmp_path / "out")


def test_plbart_texts_are_refused_by_name_but_not_its_ids(tmp_path: Path) -> None:
    tokenizer, model = checkpoint(plbart, tmp_path)
    languages = {"source_lang": "python", "target_lang": "java"}
    with pytest.raises(TokenizerUnsupportedError, match=r"PLBartTokenizer: .*'--tokenizer none'"):
        export(options_of(tmp_path, **languages), tmp_path / "out")
    version = export(options_of(tmp_path, tokenizer="none", **languages), tmp_path / "out").directory
    tokenizer.src_lang = "python"
    ids = tokenizer("a b hello").input_ids
    answer = tf.saved_model.load(str(version)).signatures["tokens"](
        input_ids=tf.constant([ids + [0] * (32 - len(ids))]), num_tokens=tf.constant([len(ids)])
    )
    start = tokenizer.lang_code_to_id["__java__"]
    with torch.no_grad():
        expected = model.generate(torch.tensor([ids]), max_new_tokens=NEW, decoder_start_token_id=start)[
            0, 1:
        ]
    assert answer["generated_ids"][0, : answer["num_tokens"][0]].numpy().tolist() == expected.tolist()
