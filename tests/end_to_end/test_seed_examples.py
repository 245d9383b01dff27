"""The examples of the 2022 article, one by one, each as docs/migration.md says it is done here."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import torch

from exporter.demo import demo_path
from exporter.exporting.pipeline import ExportResult, export
from exporter.options import make_options
from tests.reference import Reference

pytestmark = [pytest.mark.end_to_end, pytest.mark.parity]

PROMPT = "Once upon a time"


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> ExportResult:
    options = make_options(
        {
            "model": "demo:stories",
            "max_new_tokens": 30,
            "pad_to_multiple_of": 8,
            "max_prompt_length": 16,
            "batch_sizes": [2],
            "extra_signatures": ["generate", "next_token", "prompt_logprobs"],
            "generation": {"logprobs": 2},
            "signatures": {
                "beams": {"num_beams": 2},
                "hypotheses": {"num_beams": 2, "num_return_sequences": 2},
            },
            "warmup": "none",
        }
    )
    return export(options, tmp_path_factory.mktemp("seed"))


@pytest.fixture(scope="module")
def signatures(exported: ExportResult) -> Any:
    return tf.saved_model.load(str(exported.directory)).signatures


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference(demo_path("stories"))


def _ask(signatures: Any, texts: list[str], **options: float) -> list[str]:
    """The ``generate`` signature with every option neutral but the given ones."""
    neutral: dict[str, Any] = {
        "max_new_tokens": (30, tf.int32),
        "temperature": (1.0, tf.float32),
        "top_k": (0, tf.int32),
        "top_p": (1.0, tf.float32),
        "min_p": (0.0, tf.float32),
        "repetition_penalty": (1.0, tf.float32),
        "presence_penalty": (0.0, tf.float32),
        "frequency_penalty": (0.0, tf.float32),
        "seed": (42, tf.int64),
    }
    inputs = {
        name: tf.fill([len(texts)], tf.constant(options.get(name, value), dtype))
        for name, (value, dtype) in neutral.items()
    }
    answer = signatures["generate"](text=tf.constant(texts), **inputs)
    assert answer["error"].numpy().tolist() == [b""] * len(texts)
    return [text.decode() for text in answer["generated_text"].numpy()]


def test_sampling_is_determined_by_its_seed(signatures: Any) -> None:
    sampled = _ask(signatures, [PROMPT])
    assert _ask(signatures, [PROMPT]) == sampled
    assert _ask(signatures, ["A fox", PROMPT])[1] == sampled[0], "the same row in another batch"
    others = {_ask(signatures, [PROMPT], seed=seed)[0] for seed in range(5)}
    assert len(others) > 1
    unpredictable = _ask(signatures, [PROMPT, PROMPT], seed=-1, temperature=2.0)
    assert unpredictable[0] != unpredictable[1]


def test_length_is_controlled_per_row(signatures: Any, reference: Reference) -> None:
    long, short = _ask(signatures, [PROMPT]), _ask(signatures, [PROMPT], max_new_tokens=5)
    assert long[0].startswith(short[0])
    assert len(reference.encode(short[0])) <= 5 < len(reference.encode(long[0]))


def test_temperature_and_top_p(signatures: Any, reference: Reference) -> None:
    greedy = reference.greedy(reference.encode(PROMPT), 30)
    expected = reference.tokenizer.decode(greedy.ids, skip_special_tokens=True)
    assert _ask(signatures, [PROMPT], temperature=0.0) == [expected]
    assert _ask(signatures, [PROMPT], top_p=1e-6) == [expected], "only the most probable token is left"
    assert _ask(signatures, [PROMPT], top_k=1) == [expected]
    assert _ask(signatures, [PROMPT], temperature=1e-4) == [expected]
    assert len({_ask(signatures, [PROMPT], temperature=1.5, seed=seed)[0] for seed in range(4)}) > 1


@pytest.mark.parametrize("sequences", [1, 2])
def test_beam_search(signatures: Any, reference: Reference, sequences: int) -> None:
    inputs = torch.tensor([reference.encode(PROMPT)])
    with torch.no_grad():
        expected = reference.model.generate(
            inputs,
            attention_mask=torch.ones_like(inputs),
            num_beams=2,
            num_return_sequences=sequences,
            do_sample=False,
            max_new_tokens=30,
            pad_token_id=0,
        )
    decoded = reference.tokenizer.batch_decode(expected[:, inputs.shape[1] :], skip_special_tokens=True)
    answer = signatures["beams" if sequences == 1 else "hypotheses"](text=tf.constant([PROMPT]))
    texts = [text.decode() for text in np.ravel(answer["generated_text"].numpy())]
    assert texts == decoded
    assert answer["generated_text"].shape == ((1,) if sequences == 1 else (1, 2))


def test_most_likely_next_token(signatures: Any, reference: Reference) -> None:
    answer = signatures["next_token"](text=tf.constant([PROMPT]))
    with torch.no_grad():
        logits = reference.model(torch.tensor([reference.encode(PROMPT)])).logits[0, -1]
    assert answer["tokens"].numpy()[0, 0] == int(torch.argmax(logits))
    np.testing.assert_allclose(
        answer["probabilities"].numpy()[0], torch.topk(torch.softmax(logits, -1), 10).values, atol=1e-4
    )


def test_perplexity_of_prompts(signatures: Any, reference: Reference) -> None:
    """Rows of both length buckets, and two bad ones beside them."""
    texts = [PROMPT, "The little dog ran to the tree", "One"]
    rows = [reference.encode(text) for text in texts]
    padded = [row + [3] * (16 - len(row)) for row in (*rows, [1, -5], [])]
    counts = [len(row) for row in (*rows, [1, -5], [])]
    answer = signatures["prompt_logprobs"](input_ids=tf.constant(padded), num_tokens=tf.constant(counts))
    ours = {name: value.numpy() for name, value in answer.items()}
    for number, row in enumerate(rows):
        with torch.no_grad():
            expected = torch.log_softmax(reference.model(torch.tensor([row])).logits[0, :-1], -1)
        here = ours["logprobs"][number]
        np.testing.assert_allclose(here[1 : len(row)], expected[range(len(row) - 1), row[1:]], atol=1e-4)
        assert not here[[0, *range(len(row), 16)]].any()
        top = torch.topk(expected, 2)
        assert ours["top_tokens"][number, 1 : len(row)].tolist() == top.indices.tolist()
        np.testing.assert_allclose(ours["top_logprobs"][number, 1 : len(row)], top.values, atol=1e-4)
    assert ours["num_tokens"].tolist() == [*map(len, rows), 0, 0]
    errors = ours["error"].tolist()
    assert errors[:3] == [b""] * 3
    assert b"input_ids: -5 is not in the vocabulary" in errors[3]
    assert errors[4] == b"num_tokens: the prompt is empty; allowed: 1 to 16 tokens"
    assert not ours["logprobs"][3:].any()


def test_padding_to_a_multiple(exported: ExportResult) -> None:
    assert exported.manifest.buckets.prompt_lengths == (8, 16)
