"""Prompt lookup: the ids of greedy search, in fewer calls of the model where text repeats."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.generation.calls import generate
from exporter.generation.generation_options import GenerationOptions
from exporter.generation.history import NO_TOKEN
from exporter.generation.lookup import guess
from exporter.generation.rows import default_rows
from exporter.generation.stop import StopAutomaton
from tests.generation.test_greedy import run
from tests.generation.toy import ToyModel, Weights, make_prompt, random_weights

VOCAB = 12
PROMPTS = [[3, 4, 5, 3, 4], [7], [1, 2, 3, 1, 2, 3, 1], [9, 9]]


def test_the_worked_example() -> None:
    text = tf.constant([[5, 1, 2, 3, 9, 1, 2, -1]])
    assert guess(text, tf.constant([7]), 3, 2).numpy().tolist() == [[3, 9, 1]]


def test_guesses_follow_their_definition(full: bool) -> None:
    def slow(text: list[int], k: int, longest: int) -> list[int]:
        for size in range(min(longest, len(text) - 1), 0, -1):
            for place in range(len(text) - 1, size - 1, -1):
                if text[place - size : place] == text[-size:]:
                    tail = text[place:]
                    return [tail[index % len(tail)] for index in range(k)]
        return [NO_TOKEN] * k

    @settings(max_examples=1000 if full else 100, deadline=None, derandomize=True)
    @given(
        texts=st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=9), min_size=2, max_size=2),
        k=st.integers(1, 4),
        longest=st.integers(1, 3),
    )
    def check(texts: list[list[int]], k: int, longest: int) -> None:
        table = np.full((2, 12), NO_TOKEN, np.int32)
        for row, text in zip(table, texts, strict=True):
            row[10 - len(text) : 10] = text
        got = guess(tf.constant(table), tf.constant([10, 10]), k, longest)
        assert got.numpy().tolist() == [slow(text, k, longest) for text in texts]

    check()


@pytest.mark.parametrize("k", [1, 3, 8])
@pytest.mark.parametrize("seed", range(2))
def test_ids_are_those_of_greedy_search(k: int, seed: int) -> None:
    weights = random_weights(VOCAB, seed, bias=2.0)
    greedy = GenerationOptions(max_new_tokens=20, eos_token_id=(seed + 4,), pad_token_id=0)
    rows = default_rows(greedy, 4)._replace(
        max_new_tokens=tf.constant([20, 20, 7, 20]), finished=tf.constant([False, False, False, True])
    )
    want = run(greedy, PROMPTS, rows, weights=weights)
    got = run(greedy.model_copy(update={"prompt_lookup_num_tokens": k}), PROMPTS, rows, weights=weights)
    assert (got.sequences == want.sequences).all()
    assert (got.num_tokens == want.num_tokens).all()
    assert (got.finish_reason == want.finish_reason).all()


def test_stop_strings_end_a_row_within_a_step() -> None:
    weights = random_weights(VOCAB, 1, bias=2.0)
    vocabulary = [bytes([97 + token]) for token in range(VOCAB)]
    free = run(GenerationOptions(max_new_tokens=20), PROMPTS, weights=weights).sequences[:, 0]
    stops = tuple("".join(chr(97 + token) for token in row[8:10]) for row in free)
    options = GenerationOptions(max_new_tokens=20, stop_strings=stops)
    automaton = StopAutomaton(stops, vocabulary)
    want = run(options, PROMPTS, weights=weights, stop=automaton)
    lookup = options.model_copy(update={"prompt_lookup_num_tokens": 5})
    got = run(lookup, PROMPTS, weights=weights, stop=StopAutomaton(stops, vocabulary))
    assert (got.sequences == want.sequences).all()
    assert (got.finish_reason == want.finish_reason).all()


def test_repetition_saves_calls_of_the_model() -> None:
    """A model that counts up modulo 5 repeats itself: 24 tokens in a few calls."""
    calls = []

    class Counting(ToyModel):
        def extend(self, tokens: Any, cache: Any) -> Any:
            calls.append(int(tokens.shape[1]))
            return super().extend(tokens, cache)

    embed = np.zeros((8, 8), np.float32)
    np.fill_diagonal(embed, 9.0)
    head = np.roll(np.eye(8, dtype=np.float32), 1, axis=1)
    head[4] = [1, 0, 0, 0, 0, 0, 0, 0]
    weights = Weights(embed, np.zeros((8, 8), np.float32), head, np.zeros(8, np.float32))
    options = GenerationOptions(max_new_tokens=24, prompt_lookup_num_tokens=7)
    prompt = make_prompt([[0, 1, 2, 3, 4, 0, 1]])
    got = generate(Counting(weights), prompt, options, default_rows(options, 1), row_options=False)
    assert got.sequences[0, 0].numpy().tolist() == [(2 + index) % 5 for index in range(24)]
    assert calls == [8, 8, 8]


def test_wrong_guesses_become_rare() -> None:
    """Every token occurred before, and something else follows every time: guesses are nearly always wrong."""
    text = np.random.default_rng(0).integers(0, 8, 100)
    calls = []

    class Scripted(ToyModel):
        def _said(self, places: tf.Tensor) -> tf.Tensor:
            return tf.one_hot(tf.gather(text, tf.minimum(places, len(text) - 1)), 8)

        def prefill(self, prompt: Any, **arguments: Any) -> Any:
            return self._said(prompt.lengths * 0), super().prefill(prompt, **arguments)[1]

        def extend(self, tokens: Any, cache: Any) -> Any:
            calls.append(int(tokens.shape[1]))
            places = cache.count[:, None] + 1 + tf.range(tokens.shape[1])
            return self._said(places), super().extend(tokens, cache)[1]

    options = GenerationOptions(max_new_tokens=100, prompt_lookup_num_tokens=10)
    prompt = make_prompt([[0, 1, 2, 3, 4, 5, 6, 7]])
    model = Scripted(random_weights(8))
    got = generate(model, prompt, options, default_rows(options, 1), row_options=False)
    assert got.sequences[0, 0].numpy().tolist() == text.tolist()
    assert 2 <= calls.count(11) <= 15
    assert len(calls) <= 99


def test_with_processors_it_is_plain_greedy_search() -> None:
    weights = random_weights(VOCAB, 1, bias=2.0)
    options = GenerationOptions(max_new_tokens=12, repetition_penalty=1.3)
    got = run(options.model_copy(update={"prompt_lookup_num_tokens": 4}), PROMPTS, weights=weights)
    assert (got.sequences == run(options, PROMPTS, weights=weights).sequences).all()
