"""Beam search against transformers, prompt by prompt: sequences and scores."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import torch

from exporter.generation.beam import beam_search
from exporter.generation.choice import draw_without_replacement
from exporter.generation.generation_options import GenerationOptions, resolve_options
from exporter.generation.result import FinishReason
from exporter.generation.rows import default_rows
from exporter.generation.sampling import decode
from tests.generation.test_greedy import run
from tests.generation.toy import TorchToy, ToyModel, make_prompt, random_weights

VOCAB = 23
PROMPTS = [[3, 4, 5], [7], [1, 2, 3, 4, 5, 6], [9, 9], [2, 2, 8]]
NEW = 9


def check(options: dict[str, Any], seed: int = 0) -> None:
    """Every prompt's beams in one batch equal those of the prompt alone in the reference."""
    weights = random_weights(VOCAB, seed)
    model = TorchToy(weights)
    options = {"eos_token_id": 4, "max_new_tokens": NEW, "num_beams": 3} | options
    options.setdefault("num_return_sequences", options["num_beams"])
    resolved = resolve_options(None, {}, options, vocab_size=VOCAB)
    got = run(resolved, PROMPTS, length=8, weights=weights)
    for row, prompt in enumerate(PROMPTS):
        want = model.generate(
            torch.tensor([prompt]),
            use_cache=False,
            return_dict_in_generate=True,
            output_scores=True,
            **options,
        )
        for beam in range(resolved.num_return_sequences):
            count = got.num_tokens[row, beam]
            ids = want.sequences[beam, len(prompt) :].tolist()
            assert got.sequences[row, beam, :count].tolist() == ids[:count], (row, beam)
            assert set(ids[count:]) <= {resolved.pad_token_id}
            assert (got.sequences[row, beam, count:] == resolved.pad_token_id).all()
            stopped = ids[count - 1] in resolved.eos_token_id
            assert got.finish_reason[row, beam] == (FinishReason.STOP if stopped else FinishReason.LENGTH)
        np.testing.assert_allclose(got.score[row], want.sequences_scores, rtol=2e-5, atol=1e-5)


@pytest.mark.parity
@pytest.mark.parametrize(
    ("early_stopping", "length_penalty"),
    [
        (False, 1.0),
        (True, 0.0),
        ("never", 2.5),
        *(
            pytest.param(*pair, marks=pytest.mark.full)
            for pair in [(False, 0.0), (False, -1.0), (False, 2.5), (True, 1.0), (True, -1.0), (True, 2.5)]
        ),
        *(pytest.param("never", penalty, marks=pytest.mark.full) for penalty in (1.0, 0.0, -1.0)),
    ],
)
def test_stopping_and_length_penalty(early_stopping: bool | str, length_penalty: float) -> None:
    check({"early_stopping": early_stopping, "length_penalty": length_penalty})


@pytest.mark.parity
@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"num_beams": 2}, marks=pytest.mark.full),
        {"num_beams": 5},
        pytest.param({"num_beams": 4, "num_return_sequences": 1}, marks=pytest.mark.full),
        {"eos_token_id": [4, 9, 11]},
        pytest.param({"eos_token_id": None, "pad_token_id": 0}, marks=pytest.mark.full),
        pytest.param({"repetition_penalty": 1.4}, marks=pytest.mark.full),
        pytest.param({"no_repeat_ngram_size": 2}, marks=pytest.mark.full),
        {"no_repeat_ngram_size": 2, "repetition_penalty": 0.8, "renormalize_logits": True},
        {"bad_words_ids": [[3, 4], [5]], "sequence_bias": [[[1, 2], 2.0]]},
        pytest.param({"min_new_tokens": 4}, marks=pytest.mark.full),
        pytest.param({"min_length": 6}, marks=pytest.mark.full),
        {"forced_eos_token_id": 4},
        pytest.param({"forced_bos_token_id": 3}, marks=pytest.mark.full),
        pytest.param({"exponential_decay_length_penalty": [2, 1.3]}, marks=pytest.mark.full),
        pytest.param({"suppress_tokens": [1, 2], "begin_suppress_tokens": [4]}, marks=pytest.mark.full),
        pytest.param({"encoder_no_repeat_ngram_size": 1}, marks=pytest.mark.full),
        {"max_new_tokens": 1},
        {"max_new_tokens": None, "max_length": 9},
    ],
    ids=str,
)
def test_options(options: dict[str, Any]) -> None:
    check(options, seed=1)


@pytest.mark.parity
@pytest.mark.full
@pytest.mark.parametrize("seed", range(30))
def test_many_models(seed: int) -> None:
    rng = np.random.default_rng(seed)
    check(
        {
            "num_beams": int(rng.integers(2, 6)),
            "early_stopping": [False, True, "never"][rng.integers(3)],
            "length_penalty": float(rng.choice([-1.0, 0.0, 0.5, 1.0, 2.0])),
            "eos_token_id": rng.choice(VOCAB, rng.integers(1, 4), replace=False).tolist(),
        },
        seed,
    )


def test_one_beam_is_greedy_search() -> None:
    """The search itself with a single beam, which ``generate`` would not choose."""
    options = GenerationOptions(
        max_new_tokens=NEW, eos_token_id=(4, 9), no_repeat_ngram_size=2, early_stopping=True
    )
    model, prompt, rows = ToyModel(random_weights(VOCAB, 3)), make_prompt(PROMPTS), default_rows(options, 5)
    greedy = decode(model, prompt, options, rows, None, row_options=False)
    beam = beam_search(model, prompt, options, rows, None, row_options=False)
    for name in ("sequences", "num_tokens", "finish_reason"):
        np.testing.assert_array_equal(getattr(beam, name), getattr(greedy, name), err_msg=name)
    assert (greedy.num_tokens.numpy() == NEW).any()


def test_one_finished_row_and_its_own_limits() -> None:
    options = GenerationOptions(num_beams=3, num_return_sequences=2, max_new_tokens=NEW, eos_token_id=(4,))
    rows = default_rows(options, 3)._replace(
        max_new_tokens=tf.constant([2, NEW, 5]), finished=tf.constant([False, True, False])
    )
    got = run(options, PROMPTS[:3], rows, length=8)
    assert got.num_tokens[1].tolist() == [0, 0]
    assert got.score[1].tolist() == [0.0, 0.0]
    for row, limit in ((0, 2), (2, 5)):
        alone = run(options.model_copy(update={"max_new_tokens": limit}), [PROMPTS[row]], length=8)
        assert (got.sequences[row, :, :limit] == alone.sequences[0]).all()
        np.testing.assert_allclose(got.score[row], alone.score[0], rtol=1e-5)


def test_row_options_equal_baked_ones() -> None:
    baked = GenerationOptions(num_beams=3, max_new_tokens=NEW, repetition_penalty=1.3, frequency_penalty=0.2)
    plain = GenerationOptions(num_beams=3, max_new_tokens=NEW)
    want = run(baked, PROMPTS)
    got = run(plain, PROMPTS, default_rows(baked, len(PROMPTS)), row_options=True)
    assert (got.sequences == want.sequences).all()


def test_logprobs_follow_the_beams() -> None:
    options = GenerationOptions(
        num_beams=3,
        num_return_sequences=3,
        max_new_tokens=NEW,
        eos_token_id=(4,),
        length_penalty=0.0,
        logprobs=2,
    )
    got = run(options, PROMPTS)
    # Without processors and length penalty a beam's score is the sum of its log-probabilities.
    np.testing.assert_allclose(got.logprobs.sum(-1), got.score, atol=1e-4)
    assert (got.top_logprobs[..., 0] >= got.top_logprobs[..., 1]).all()


def test_draws_without_replacement_have_the_right_frequencies() -> None:
    """P(first = i, second = j) = p_i p_j / (1 - p_i); chi-square over 20,000 rows with seeds 0, 1, ..."""
    probs = np.array([0.4, 0.3, 0.2, 0.1, 0.0])
    rows = 20_000
    with np.errstate(divide="ignore"):
        logits = tf.constant(np.tile(np.log(probs), (rows, 1)), tf.float32)
    drawn, valid = tf.function(draw_without_replacement, jit_compile=True)(
        logits, 2, tf.range(rows, dtype=tf.int64), tf.constant(3)
    )
    assert valid.numpy().all()
    counts = np.zeros((5, 5))
    np.add.at(counts, tuple(drawn.numpy().T), 1)
    expected = rows * np.outer(probs, probs) / (1 - probs)[:, None] * (1 - np.eye(5))
    assert (counts[expected == 0] == 0).all()
    cells = expected > 0
    assert (
        ((counts - expected) ** 2)[cells] / expected[cells]
    ).sum() < 31.3  # 11 degrees of freedom, p = 0.001


def test_draws_stop_being_valid_when_nothing_is_left() -> None:
    logits = tf.constant([[0.0, -np.inf, 1.0]])
    drawn, valid = draw_without_replacement(logits, 3, tf.constant([7], tf.int64), tf.constant(0))
    assert valid.numpy().tolist() == [[True, True, False]]
    assert sorted(drawn.numpy()[0, :2].tolist()) == [0, 2]


def test_beam_sampling_draws_from_what_warpers_keep() -> None:
    """With one continuation kept per beam beside the reserve, sampling can only reorder the best beams."""
    options = GenerationOptions(num_beams=2, do_sample=True, top_k=2, max_new_tokens=NEW, seed=3)
    first, again = run(options, PROMPTS), run(options, PROMPTS)
    assert (first.sequences == again.sequences).all()
    other = run(options.model_copy(update={"seed": 4}), PROMPTS)
    assert (first.sequences != other.sequences).any()
    alone = run(options, PROMPTS[2:3], length=8)
    assert (alone.sequences[0] == first.sequences[2]).all()
