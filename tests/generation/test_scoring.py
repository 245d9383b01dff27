"""Scores of continuations, next tokens and prompts, against the torch model's log-softmax."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import torch

from exporter.generation.calls import next_token, prompt_logprobs, score
from exporter.generation.generation_options import GenerationOptions
from tests.generation.test_greedy import run
from tests.generation.toy import TorchToy, ToyModel, make_prompt, random_weights

VOCAB = 23
WEIGHTS = random_weights(VOCAB)
PROMPTS = [[3, 4, 5], [7], [1, 2, 3, 4, 5, 6], [9, 9]]
TORCH = TorchToy(WEIGHTS)


@tf.function(jit_compile=True)
def scored(prompt: Any, continuation: tf.Tensor, lengths: tf.Tensor) -> Any:
    return score(ToyModel(WEIGHTS), prompt, continuation, lengths)


def reference(prompt: list[int], continuation: list[int]) -> np.ndarray:
    logits = TORCH(torch.tensor([prompt + continuation])).logits[0, len(prompt) - 1 : -1]
    return torch.log_softmax(logits, -1)[range(len(continuation)), continuation].numpy()


@pytest.mark.parametrize("width", [1, 2, 16, 17, 40])
def test_score_is_the_log_likelihood(width: int) -> None:
    rng = np.random.default_rng(width)
    tokens = rng.integers(0, VOCAB, size=(4, width)).astype(np.int32)
    lengths = np.minimum([width, width // 2, 1, 0], width).astype(np.int32)
    got = scored(make_prompt(PROMPTS, 8), tf.constant(tokens), tf.constant(lengths))
    for row, prompt in enumerate(PROMPTS):
        count = lengths[row]
        want = reference(prompt, tokens[row, :count].tolist())
        np.testing.assert_allclose(got.logprobs[row, :count], want, atol=1e-4)
        assert not got.logprobs[row, count:].numpy().any()
        np.testing.assert_allclose(got.score[row], want.sum(), rtol=1e-5, atol=1e-4)
    assert bool(got.greedy[3])


def test_generate_and_score_agree() -> None:
    options = GenerationOptions(max_new_tokens=12, eos_token_id=(2, 11), scores=True, logprobs=0)
    written = run(options, PROMPTS, weights=WEIGHTS)
    got = scored(
        make_prompt(PROMPTS), tf.constant(written.sequences[:, 0]), tf.constant(written.num_tokens[:, 0])
    )
    np.testing.assert_allclose(got.score, written.score[:, 0], atol=1e-4)
    np.testing.assert_allclose(got.logprobs, written.logprobs[:, 0], atol=1e-4)
    assert got.greedy.numpy().all()
    changed = written.sequences[:, 0].copy()
    changed[:, 0] = (changed[:, 0] + 1) % VOCAB
    assert not scored(make_prompt(PROMPTS), changed, written.num_tokens[:, 0]).greedy.numpy().any()


def test_next_tokens_are_the_most_probable() -> None:
    got = tf.function(lambda prompt: next_token(ToyModel(WEIGHTS), prompt, 4), jit_compile=True)(
        make_prompt(PROMPTS)
    )
    for row, prompt in enumerate(PROMPTS):
        top = torch.softmax(TORCH(torch.tensor([prompt])).logits[0, -1], -1).topk(4)
        assert got.tokens[row].numpy().tolist() == top.indices.tolist()
        np.testing.assert_allclose(got.probabilities[row], top.values, rtol=1e-4)


@pytest.mark.parametrize("length", [8, 16, 37])
def test_log_probabilities_of_prompts(length: int) -> None:
    prompts = [*PROMPTS, np.random.default_rng(length).integers(0, VOCAB, length).tolist()]
    got = tf.function(
        lambda prompt: prompt_logprobs(ToyModel(WEIGHTS), prompt, width=40, top=3), jit_compile=True
    )(make_prompt(prompts, length))
    for row, prompt in enumerate(prompts):
        count = len(prompt)
        all_of_them = torch.log_softmax(TORCH(torch.tensor([prompt])).logits[0, :-1], -1)
        want = all_of_them[range(count - 1), prompt[1:]]
        np.testing.assert_allclose(got.logprobs[row, 1:count], want, atol=1e-4)
        top = all_of_them.topk(3)
        assert got.top_tokens[row, 1:count].numpy().tolist() == top.indices.tolist()
        np.testing.assert_allclose(got.top_logprobs[row, 1:count], top.values, atol=1e-4)
        for values in got:
            assert not values[row, 0].numpy().any()
            assert not values[row, count:].numpy().any()
