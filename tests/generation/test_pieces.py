"""An answer in pieces of any sizes is the answer of one call, which other tests compare with transformers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from exporter.generation.calls import generate
from exporter.generation.generation_options import GenerationOptions
from exporter.generation.result import FinishReason, Generated
from exporter.generation.rows import RowOptions, check_piece, default_rows, with_extras
from exporter.generation.stop import StopAutomaton
from tests.generation.toy import ToyModel, make_prompt, random_weights

VOCAB, MOST, PIECE, ROWS, LONGEST = 23, 14, 5, 500, 6
MODEL = ToyModel(random_weights(VOCAB))
#: "ab" and "ba" occur within tokens, across them, and across what was read and what follows.
VOCABULARY = [b"", *(bytes([97 + token % 4]) * (1 + token % 2) for token in range(1, VOCAB))]

CASES: dict[str, dict[str, Any]] = {
    "what looks back": {
        "no_repeat_ngram_size": 2,
        "encoder_no_repeat_ngram_size": 2,
        "encoder_repetition_penalty": 1.3,
        "sequence_bias": (((3, 4), -4.0), ((5, 6, 7), 3.0), ((8,), 0.5)),
        "stop_strings": ("aba", "bbcd", "dd"),
        "logprobs": 2,
    },
    "what counts steps": {
        "eos_token_id": (2, 4),
        "min_length": 9,
        "min_new_tokens": 4,
        "forced_eos_token_id": (2,),
        "forced_bos_token_id": 7,
        "begin_suppress_tokens": (3, 5, 8, 12),
        "exponential_decay_length_penalty": (3, 1.2),
        "max_length": 17,
    },
}


def _rows(options: GenerationOptions, rng: np.random.Generator) -> RowOptions:
    """Every second row greedy, all with options of their own."""
    rows = with_extras(default_rows(options, ROWS), 2)
    drawn: dict[str, Any] = {
        "max_new_tokens": rng.integers(1, MOST + 1, ROWS),
        "temperature": np.where(np.arange(ROWS) % 2, rng.uniform(0.5, 2.0, ROWS), 0.0),
        "top_p": rng.choice([1.0, 0.9], ROWS),
        "repetition_penalty": rng.choice([1.0, 1.4], ROWS),
        "presence_penalty": rng.choice([0.0, 0.7], ROWS),
        "frequency_penalty": rng.choice([0.0, 0.3], ROWS),
        "seed": rng.integers(0, 2**40, ROWS),
        "stop_token_ids": rng.choice([-1, -1, -1, 6, 19], (ROWS, 2)),
        "logit_bias_ids": rng.integers(-1, VOCAB, (ROWS, 2)),
        "logit_bias_values": rng.normal(size=(ROWS, 2)),
        "bad_token_ids": rng.integers(-1, VOCAB, (ROWS, 2)),
        "ignore_eos": rng.choice([False, True], ROWS),
    }
    return rows._replace(
        **{name: tf.constant(value, getattr(rows, name).dtype) for name, value in drawn.items()}
    )


def _compiled(options: GenerationOptions, automaton: StopAutomaton | None, piece: int) -> Callable[..., Any]:
    call = tf.function(
        lambda prompt, rows: generate(
            MODEL, prompt, options, rows, row_options=True, stop=automaton, piece=piece
        ),
        jit_compile=True,
        autograph=False,
    )
    return lambda *inputs: tf.nest.map_structure(lambda t: None if t is None else t.numpy(), call(*inputs))


class Pieces:
    """Answers as they grow, every row by a number of tokens of its own at each call."""

    def __init__(self, call: Callable[..., Any], prompts: list[list[int]], rows: RowOptions) -> None:
        self._call, self._prompts, self._rows = call, prompts, rows
        self.ids: list[list[int]] = [[] for _ in prompts]
        self.reasons = [int(FinishReason.NONE)] * len(prompts)
        self.logprobs: list[list[float]] = [[] for _ in prompts]
        self.states: list[list[tuple[int, int]]] = [[] for _ in prompts]

    def grow(self, most: np.ndarray) -> None:
        read = [prompt + ids for prompt, ids in zip(self._prompts, self.ids, strict=True)]
        rows = self._rows._replace(
            num_generated=tf.constant([len(ids) for ids in self.ids], tf.int32),
            piece_tokens=tf.constant(most, tf.int32),
            finished=tf.constant([reason != FinishReason.NONE for reason in self.reasons]),
        )
        got: Generated = self._call(make_prompt(read, LONGEST + MOST), rows)
        for row, reason in enumerate(self.reasons):
            if reason != FinishReason.NONE:
                continue
            count = int(got.num_tokens[row, 0])
            assert count <= most[row]
            self.ids[row] += got.sequences[row, 0, :count].tolist()
            self.reasons[row] = int(got.finish_reason[row, 0])
            if got.logprobs is not None:
                self.logprobs[row] += got.logprobs[row, 0, :count].tolist()
            if got.stop_states is not None:
                self.states[row].append(tuple(got.stop_states[row, 0].tolist()))


@pytest.mark.parametrize(
    "case", ["what looks back", pytest.param("what counts steps", marks=pytest.mark.full)]
)
def test_pieces_of_any_sizes_are_the_whole(case: str) -> None:
    """1,000 answers in all, each cut at random."""
    options = GenerationOptions(max_new_tokens=MOST, do_sample=True, **CASES[case])
    automaton = StopAutomaton(options.stop_strings, VOCABULARY) if options.stop_strings else None
    rng = np.random.default_rng(5)
    prompts = [rng.integers(1, VOCAB, rng.integers(1, LONGEST + 1)).tolist() for _ in range(ROWS)]
    rows = _rows(options, rng)
    whole: Generated = _compiled(options, automaton, 0)(make_prompt(prompts, LONGEST + MOST), rows)

    pieces = Pieces(_compiled(options, automaton, PIECE), prompts, rows)
    while FinishReason.NONE in pieces.reasons:
        pieces.grow(rng.integers(1, PIECE + 1, ROWS))

    counts = whole.num_tokens[:, 0]
    assert pieces.ids == [ids[:n].tolist() for ids, n in zip(whole.sequences[:, 0], counts, strict=True)]
    assert pieces.reasons == whole.finish_reason[:, 0].tolist()
    assert {len(ids) for ids in pieces.ids} > {1, PIECE, MOST - (3 if options.max_length else 0)}
    if whole.logprobs is not None:
        for logprobs, want, n in zip(pieces.logprobs, whole.logprobs[:, 0], counts, strict=True):
            np.testing.assert_allclose(logprobs, want[:n], atol=1e-6)
    if automaton is not None:
        assert {FinishReason.STOP, FinishReason.LENGTH} <= set(pieces.reasons)
        for states in pieces.states:
            assert [after for _, after in states[:-1]] == [before for before, _ in states[1:]]


def test_an_answer_that_has_ended_goes_on_by_nothing() -> None:
    options = GenerationOptions(max_new_tokens=MOST, eos_token_id=(2,), stop_strings=("dd",))
    automaton = StopAutomaton(options.stop_strings, VOCABULARY)
    done: Mapping[str, tuple[list[int], int, FinishReason]] = {
        "an end": ([5, 2], MOST, FinishReason.STOP),
        "a stop string": ([3, 3, 3], MOST, FinishReason.STOP),
        "its limit": ([5, 6, 8], 3, FinishReason.LENGTH),
    }
    rows = default_rows(options, 3)._replace(
        max_new_tokens=tf.constant([most for _, most, _ in done.values()]),
        num_generated=tf.constant([len(ids) for ids, _, _ in done.values()]),
        piece_tokens=tf.constant([PIECE] * 3),
    )
    prompt = make_prompt([[7, *ids] for ids, _, _ in done.values()])
    got = generate(MODEL, prompt, options, rows, row_options=True, stop=automaton, piece=PIECE)
    assert got.num_tokens[:, 0].numpy().tolist() == [0, 0, 0]
    assert got.finish_reason[:, 0].numpy().tolist() == [reason for _, _, reason in done.values()]


def test_numbers_of_a_piece_that_cannot_be_are_named() -> None:
    options = GenerationOptions(max_new_tokens=MOST)
    rows = default_rows(options, 5)._replace(
        max_new_tokens=tf.constant([4, 4, 4, 4, MOST]),
        num_generated=tf.constant([5, -1, 4, 0, 9]),
        piece_tokens=tf.constant([1, 1, PIECE, PIECE + 1, 0]),
    )
    assert [message.decode() for message in check_piece(rows, PIECE).numpy()] == [
        "num_generated=5: allowed: 0 to max_new_tokens=4",
        "num_generated=-1: allowed: 0 to max_new_tokens=4",
        "",
        "piece_tokens=6: allowed: 1 to 5",
        "piece_tokens=0: allowed: 1 to 5",
    ]
