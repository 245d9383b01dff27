"""An encoder-decoder export as one signature, text to text: greedy, beams, scores and next tokens."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import torch

from exporter.demo import demo_path
from exporter.exporting.pipeline import ExportResult, export
from exporter.options import make_options
from tests.docs.signatures import differences
from tests.end_to_end.test_isolation import check_isolated
from tests.reference import Reference

pytestmark = [pytest.mark.end_to_end, pytest.mark.parity]

TEXTS = [
    "translate English to digits: three hundred twelve",
    "translate English to German: twenty-one",
    "translate digits to French: 75",
    "translate German to English: hundert",
]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> ExportResult:
    options = make_options(
        {
            "model": "demo:translate",
            "max_new_tokens": 16,
            "prompt_lengths": [16, 32],
            "batch_sizes": [1, 4],
            "extra_signatures": ["score", "next_token"],
            "signatures": {"beam4": {"num_beams": 4, "num_return_sequences": 2}},
            "outputs": ["score", "prompt_tokens", "truncated"],
            "warmup": "minimal",
            "verify": "none",
        }
    )
    return export(options, tmp_path_factory.mktemp("translate"))


@pytest.fixture(scope="module")
def signatures(exported: ExportResult) -> Any:
    return tf.saved_model.load(str(exported.directory)).signatures


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference(demo_path("translate"))


def _generate(reference: Reference, text: str, **options: Any) -> Any:
    inputs = reference.tokenizer(text, return_tensors="pt")
    with torch.no_grad():
        return reference.model.generate(
            **inputs, max_new_tokens=16, do_sample=False, return_dict_in_generate=True, **options
        )


def test_greedy_text_equals_the_reference(signatures: Any, reference: Reference) -> None:
    answer = signatures["serving_default"](text=tf.constant(TEXTS))
    for i, text in enumerate(TEXTS):
        ids = _generate(reference, text).sequences[0]
        assert answer["generated_text"].numpy()[i].decode() == reference.tokenizer.decode(
            ids, skip_special_tokens=True
        )
        assert answer["prompt_tokens"].numpy()[i] == len(reference.encode(text))
    assert not answer["truncated"].numpy().any()


def test_beams_and_their_scores_equal_the_reference(signatures: Any, reference: Reference) -> None:
    answer = signatures["beam4"](text=tf.constant(TEXTS))
    assert answer["generated_text"].shape == (len(TEXTS), 2)
    for i, text in enumerate(TEXTS):
        expected = _generate(reference, text, num_beams=4, num_return_sequences=2, output_scores=True)
        decoded = reference.tokenizer.batch_decode(expected.sequences, skip_special_tokens=True)
        assert [item.decode() for item in answer["generated_text"].numpy()[i]] == decoded
        np.testing.assert_allclose(answer["score"].numpy()[i], expected.sequences_scores, atol=2e-3)


def test_score_is_the_reference_log_likelihood(signatures: Any, reference: Reference) -> None:
    continuations = ["312", "einundzwanzig", "", "one hundred"]
    answer = signatures["score"](text=tf.constant(TEXTS), continuation=tf.constant(continuations))
    for i, (text, continuation) in enumerate(zip(TEXTS, continuations, strict=True)):
        inputs = reference.tokenizer(text, return_tensors="pt")
        labels = reference.tokenizer(text_target=continuation, return_tensors="pt").input_ids
        with torch.no_grad():
            logits = reference.model(**inputs, labels=labels).logits[0]
        expected = torch.log_softmax(logits, -1)[torch.arange(labels.shape[1]), labels[0]].sum()
        assert answer["num_tokens"].numpy()[i] == labels.shape[1]
        np.testing.assert_allclose(answer["score"].numpy()[i], float(expected), atol=5e-3)


def test_next_tokens_are_the_reference_distribution(signatures: Any, reference: Reference) -> None:
    answer = signatures["next_token"](text=tf.constant(TEXTS))
    for i, text in enumerate(TEXTS):
        inputs = reference.tokenizer(text, return_tensors="pt")
        start = torch.tensor([[reference.model.config.decoder_start_token_id]])
        with torch.no_grad():
            logits = reference.model(**inputs, decoder_input_ids=start).logits[0, -1]
        best = torch.topk(torch.softmax(logits, -1), 10)
        np.testing.assert_allclose(answer["probabilities"].numpy()[i], best.values, atol=1e-4)
        assert answer["tokens"].numpy()[i][0] == best.indices[0]


def test_runs_without_the_exporter(exported: ExportResult) -> None:
    check_isolated(exported.directory)


def test_bad_rows_are_errors_in_every_signature(signatures: Any) -> None:
    text = tf.constant([TEXTS[0].encode(), b"\xff", b"word " * 100], tf.string)
    for name in ("serving_default", "next_token"):
        errors = [error.decode() for error in np.ravel(signatures[name](text=text)["error"].numpy())]
        assert errors[0] == ""
        assert errors[1] == "text: not valid UTF-8"
        assert errors[2].startswith("text: the prompt has ")
    scored = signatures["score"](text=text[:2], continuation=tf.constant([b"\xff", b"a"]))
    assert [error.decode() for error in scored["error"].numpy()] == [
        "continuation: not valid UTF-8",
        "text: not valid UTF-8",
    ]
    assert scored["score"].numpy().tolist() == [0.0, 0.0]


def test_signatures_are_those_documented(exported: ExportResult) -> None:
    assert not differences(exported.manifest)
