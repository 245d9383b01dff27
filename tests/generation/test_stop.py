"""Stop strings: the automaton against searching the text, and the loop that stops by it."""

from __future__ import annotations

import re

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.generation.options import GenerationOptions
from exporter.generation.result import FinishReason
from exporter.generation.stop import StopAutomaton, cut_at_stop
from tests.generation.test_greedy import run
from tests.generation.toy import random_weights

LETTERS = st.text(alphabet="abc", min_size=1, max_size=4)


def first_match(automaton: StopAutomaton, tokens: list[int]) -> int | None:
    """After how many tokens the automaton says "found"; it must stay so."""
    state, found = tf.constant([0]), None
    for count, token in enumerate(tokens, 1):
        state = automaton.advance(state, tf.constant([token]))
        if bool(automaton.matched(state)[0]):
            found = found or count
        assert (found is not None) == bool(automaton.matched(state)[0])
    return found


def test_the_automaton_finds_what_a_text_search_finds(full: bool) -> None:
    @settings(max_examples=2000 if full else 80, deadline=None, derandomize=True)
    @given(
        stops=st.lists(LETTERS, min_size=1, max_size=3),
        vocabulary=st.lists(st.text(alphabet="abc", max_size=3), min_size=2, max_size=6),
        data=st.data(),
    )
    def check(stops: list[str], vocabulary: list[str], data: st.DataObject) -> None:
        tokens = data.draw(st.lists(st.integers(0, len(vocabulary) - 1), max_size=8))
        texts = ["".join(vocabulary[token] for token in tokens[:count]) for count in range(len(tokens) + 1)]
        want = next((count for count, text in enumerate(texts) if any(stop in text for stop in stops)), None)
        automaton = StopAutomaton(stops, [text.encode() for text in vocabulary])
        assert first_match(automaton, tokens) == want

    check()


def test_tokens_that_are_parts_of_characters() -> None:
    euro = "€".encode()
    automaton = StopAutomaton(["€!"], [euro[:1], euro[1:], b"!", b"x"])
    assert first_match(automaton, [0, 1, 2]) == 3
    assert first_match(automaton, [0, 1, 3, 2]) is None


@pytest.mark.parametrize("row_options", [False, True])
@pytest.mark.parametrize("beams", [1, 3])
def test_the_loop_stops_where_the_text_contains_a_stop_string(beams: int, row_options: bool) -> None:
    weights = random_weights(12, seed=3)
    vocabulary = [bytes([97 + token]) if token % 3 else bytes([97 + token, 98]) for token in range(12)]
    free = GenerationOptions(max_new_tokens=10)
    prompts = [[1, 2], [5], [7, 7, 3]]
    texts = [
        b"".join(vocabulary[token] for token in row).decode()
        for row in run(free, prompts, weights=weights).sequences[:, 0]
    ]
    # One stop string inside a token's text and across tokens, one that never comes.
    stops = (texts[0][4:6], texts[1][3:6], "zz")
    options = GenerationOptions(max_new_tokens=10, num_beams=beams, stop_strings=stops, pad_token_id=0)
    automaton = StopAutomaton(stops, vocabulary)
    got = run(options, prompts, weights=weights, stop=automaton, row_options=row_options)
    for row in range(3):
        count = got.num_tokens[row, 0]
        pieces = [vocabulary[token] for token in got.sequences[row, 0, :count]]
        stopped = [any(stop in b"".join(pieces[:n]).decode() for stop in stops) for n in range(count + 1)]
        if got.finish_reason[row, 0] == FinishReason.STOP:
            assert stopped.index(True) == count
        else:
            assert not any(stopped)
            assert count == 10
    if beams == 1:
        assert (got.finish_reason[:2] == FinishReason.STOP).all()


def test_text_is_cut_before_the_first_stop_string() -> None:
    stops = ["END", ".*", "\n\n", "(x"]
    texts = ["one END two END", "a.*b", "a\n\nb\nc", "é€(x)\ny", "none", "", "ENDless"]
    cut, found = cut_at_stop(tf.constant(texts), stops)
    pattern = "|".join(re.escape(stop) for stop in stops)
    assert [text.decode() for text in cut.numpy()] == [re.split(pattern, text)[0] for text in texts]
    assert found.numpy().tolist() == [bool(re.search(pattern, text)) for text in texts]


def test_the_table_is_small_for_a_large_vocabulary() -> None:
    rng = np.random.default_rng(0)
    vocabulary = [rng.bytes(rng.integers(0, 9)) for _ in range(50_000)]
    table = StopAutomaton(["\nUser:", "\n\n\n"], vocabulary).table
    assert table.dtype == tf.int16
    assert table.shape[1] < 12
