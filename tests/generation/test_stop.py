"""Stop strings: the automaton against searching the text, and the loop that stops by it."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from exporter.generation.generation_options import GenerationOptions
from exporter.generation.result import FinishReason
from exporter.generation.step import Prompt
from exporter.generation.stop import StopAutomaton, cut_answers, cut_at_stop
from tests.generation.test_greedy import run
from tests.generation.toy import make_prompt, random_weights

LETTERS = st.text(alphabet="abc", min_size=1, max_size=4)


def start(automaton: StopAutomaton, prompt: Sequence[int]) -> tf.Tensor:
    """The state after a prompt, which is left-padded by two."""
    return automaton.start(make_prompt([list(prompt)], len(prompt) + 2)) if prompt else tf.constant([0])


def first_match(automaton: StopAutomaton, tokens: list[int], prompt: Sequence[int] = ()) -> int | None:
    """After how many tokens the automaton says "found"; it must stay so."""
    state, found = start(automaton, prompt), None
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


@functools.cache
def reference_tokenizer() -> Any:
    """A byte-level tokenizer of a few letters whose tokens are of several lengths."""
    letters = ["a", "b", "c", "Ġ"]
    merges = [("a", "b"), ("ab", "c"), ("b", "a"), ("c", "Ġ"), ("cĠ", "ab")]
    tokens = ["<|end|>", *letters, *("".join(pair) for pair in merges)]
    model = models.BPE({token: number for number, token in enumerate(tokens)}, merges)
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>")


def test_it_stops_where_the_reference_does_whatever_the_prompt_ends_with(full: bool) -> None:
    """``StopStringCriteria`` is asked after every token, as ``generate`` does."""
    tokenizer = reference_tokenizer()
    tokens = st.integers(1, len(tokenizer) - 1)
    texts = [tokenizer.decode([token]).encode() for token in range(len(tokenizer))]
    texts[0] = b""

    @settings(max_examples=1000 if full else 60, deadline=None, derandomize=True)
    @given(
        stops=st.lists(st.text(alphabet="abc ", min_size=1, max_size=5), min_size=1, max_size=3, unique=True),
        prompt=st.lists(tokens, min_size=1, max_size=6),
        generated=st.lists(tokens, min_size=1, max_size=6),
    )
    def check(stops: list[str], prompt: list[int], generated: list[int]) -> None:
        criteria = transformers.StopStringCriteria(tokenizer, stops)
        counts = range(1, len(generated) + 1)
        asked = [criteria(torch.tensor([prompt + generated[:count]]), None) for count in counts]
        want = next((count for count, answer in zip(counts, asked, strict=True) if bool(answer[0])), None)
        assert first_match(StopAutomaton(stops, texts), generated, prompt) == want

    check()


def test_a_special_token_in_the_prompt_begins_anew() -> None:
    automaton = StopAutomaton(["ab"], [b"", b"a", b"b"])
    assert first_match(automaton, [2], prompt=[1]) == 1
    assert first_match(automaton, [2], prompt=[1, 0]) is None
    assert first_match(automaton, [2], prompt=[0, 1]) == 1
    assert first_match(automaton, [1, 0, 2]) == 3, "skipped in generated text, as in the decoded one"


def test_the_padding_of_a_prompt_is_not_read() -> None:
    automaton = StopAutomaton(["ab"], [b"", b"a", b"b"])
    prompt = Prompt(tf.constant([[1, 1, 0], [1, 1, 1], [1, 1, 2]]), tf.constant([1, 3, 1]))
    state = automaton.advance(automaton.start(prompt), tf.constant([2, 2, 2]))
    assert automaton.matched(state).numpy().tolist() == [False, True, False]


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


@pytest.mark.parametrize(("beams", "lookup"), [(1, 0), (1, 3), (3, 0)])
def test_the_loop_knows_what_the_prompt_ended_with(beams: int, lookup: int) -> None:
    weights = random_weights(12, seed=3)
    vocabulary = [bytes([97 + token]) for token in range(12)]
    prompts = [[1, 2], [5], [7, 7, 3]]
    free = GenerationOptions(max_new_tokens=10, num_beams=beams)
    firsts = [
        "".join(chr(97 + token) for token in row[:2])
        for row in run(free, prompts, weights=weights).sequences[:, 0]
    ]
    # Row 0 ends within a stop string that began in its prompt; row 2's has another beginning.
    stops = (f"bc{firsts[0]}", f"z{firsts[2][0]}")
    options = GenerationOptions(
        max_new_tokens=10, num_beams=beams, stop_strings=stops, prompt_lookup_num_tokens=lookup
    )
    got = run(options, prompts, weights=weights, stop=StopAutomaton(stops, vocabulary))
    assert got.finish_reason[0, 0] == FinishReason.STOP
    assert got.finish_reason[2, 0] == FinishReason.LENGTH
    if beams == 1:
        assert got.num_tokens[:, 0].tolist()[::2] == [2, 10]


def test_answers_are_cut_and_nothing_is_left_of_a_stop_string_that_began_in_the_prompt() -> None:
    texts = ["ab END c", "D!", "no stop", "a END", "limit"]
    sequences = tf.constant([[[4, 5, 6]], [[4, 5, 0]], [[4, 9, 0]], [[4, 9, 0]], [[4, 5, 6]]])
    reasons = [FinishReason.STOP] * 4 + [FinishReason.LENGTH]
    cut = cut_answers(
        tf.constant(texts)[:, None],
        sequences,
        tf.constant([[3], [2], [2], [2], [3]]),
        tf.constant([[int(reason)] for reason in reasons]),
        stop_strings=["END"],
        is_end=lambda tokens: tokens == 9,
    )
    assert [text.decode() for text in cut.numpy()[:, 0]] == ["ab ", "", "no stop", "a ", "limit"]


def test_the_table_is_small_for_a_large_vocabulary() -> None:
    rng = np.random.default_rng(0)
    vocabulary = [rng.bytes(rng.integers(0, 9)) for _ in range(50_000)]
    table = StopAutomaton(["\nUser:", "\n\n\n"], vocabulary).table
    assert table.dtype == tf.int16
    assert table.shape[1] < 12
