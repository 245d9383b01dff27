"""The texts of pieces, side by side, are the text of the whole, whatever the tokens and the cuts."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tokenizers

from exporter.generation.calls import generate
from exporter.generation.generation_options import GenerationOptions
from exporter.generation.result import FinishReason
from exporter.generation.rows import default_rows, row_fields
from exporter.generation.stop import StopAutomaton
from exporter.manifest import Buckets
from exporter.saved_model.programs import GenerationProgram, Programs
from exporter.saved_model.resuming import _added_text, _whole_text, resume_signature
from exporter.saved_model.served import ProgramKey
from exporter.saved_model.signatures import Policy
from exporter.tokenizer import nodes
from exporter.tokenizer.decoders import build_decoder, special_strings, token_strings
from tests.generation.toy import ToyModel, make_prompt, random_weights
from tests.tokenizer.test_decoders import DECODERS, library

ROWS, MOST = 200, 14
#: Bytes of characters, whole and not, as byte tokens and as byte-level letters, and what stop strings are of.
PARTS = [
    *("a", "▁a", "▁", ".", "é", "日本", "'s", "<s>"),
    *(f"<0x{byte:02X}>" for byte in "é日".encode()),
    "<0xFF>",
]
LETTERS = ["a", "Ġ", "Ã", "©", "æ", "Ĺ", "¥", "ÿ", ".", "<s>"]
#: Decoders whose text comes whole with the last piece: they treat its end otherwise than its middle.
WHOLE = ("bpe", "replace_row")
STOPS = ("a a", "日é", "éa", "aaa", ".日.")


class Decoding:
    """A tokenizer's half that decodes."""

    def __init__(self, tokenizer: tokenizers.Tokenizer, node: Any) -> None:
        self._decoder = build_decoder(node, token_strings(tokenizer), special_strings(tokenizer))
        self.token_bytes = self._decoder.token_bytes

    def decode(self, ids: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
        return self._decoder(tf.RaggedTensor.from_tensor(ids, lengths))

    def settled(self, ids: tf.Tensor, lengths: tf.Tensor, tail: tf.Tensor) -> tf.Tensor:
        return self._decoder.settled(tf.RaggedTensor.from_tensor(ids, lengths), tail)


def _answers(
    rng: np.random.Generator, ids: list[int], automaton: StopAutomaton | None
) -> tuple[list[list[int]], list[FinishReason], list[list[int]]]:
    """Answers up to their ends, why they ended, and the automaton's states before every step."""
    prompts = [rng.choice(ids, rng.integers(1, 4)).tolist() for _ in range(ROWS)]
    tokens = rng.choice(ids, (ROWS, MOST))
    if automaton is None:
        return tokens.tolist(), [FinishReason.LENGTH] * ROWS, np.zeros((ROWS, MOST + 1), int).tolist()
    states = [automaton.start(make_prompt(prompts))]
    for step in range(MOST):
        states.append(automaton.advance(states[-1], tf.constant(tokens[:, step], tf.int32)))
    paths = np.stack(states, axis=1)
    found = paths >= automaton.found
    ends = np.where(found.any(axis=1), found.argmax(axis=1), MOST)
    answers = [row[:end].tolist() for row, end in zip(tokens, ends, strict=True)]
    reasons = [FinishReason.STOP if row.any() else FinishReason.LENGTH for row in found]
    return answers, reasons, paths.tolist()


CASES = [
    (name, False) for name in ("byte_level_then_strip", "byte_fallback", "bpe", "wordpiece", "replace_row")
] + [(name, True) for name in ("none", "byte_level", "byte_fallback", "metaspace")]


@pytest.mark.parametrize(("name", "stops"), CASES)
def test_texts_of_pieces_are_the_text_of_the_whole(name: str, stops: bool) -> None:
    tokenizer = library(DECODERS[name])
    decoding = Decoding(tokenizer, nodes.parse_tokenizer(json.loads(tokenizer.to_str())).decoder)
    parts = LETTERS if name.startswith("byte_level") else PARTS
    ids = [token for part in parts if (token := tokenizer.token_to_id(part)) is not None]
    size = len(token_strings(tokenizer))
    automaton = StopAutomaton(STOPS, decoding.token_bytes(size)) if stops else None
    rng = np.random.default_rng(len(name))
    answers, reasons, states = _answers(rng, ids, automaton)
    options = GenerationOptions(stop_strings=STOPS if stops else (), eos_token_id=())
    program: Any = SimpleNamespace(stop=automaton, options=options)
    rows, tokens = default_rows(options, ROWS), tf.ragged.constant(answers, tf.int32)
    want = _whole_text(tokens, tf.constant(reasons, tf.int32), rows, program, decoding)  # type: ignore[arg-type]

    ends = np.array([len(answer) for answer in answers])
    done, texts, early, steps = np.zeros(ROWS, int), [b""] * ROWS, 0, 0
    while (done < ends).any():
        upto = np.minimum(done + rng.integers(1, 6, ROWS), ends)
        new = [answer[a:b] for answer, a, b in zip(answers, done, upto, strict=True)]
        last = zip(reasons, upto, ends, strict=True)
        reason = [int(one if b == end else FinishReason.NONE) for one, b, end in last]
        between = [[path[a], path[b]] for path, a, b in zip(states, done, upto, strict=True)]
        answer = {
            "sequences": tf.constant([[row + [0] * (MOST - len(row))] for row in new], tf.int32),
            "num_tokens": tf.constant([[len(row)] for row in new], tf.int32),
            "finish_reason": tf.constant(reason, tf.int32)[:, None],
            "stop_states": tf.constant(between, tf.int32)[:, None],
        }
        given = tf.ragged.constant([a[:n] for a, n in zip(answers, done, strict=True)], tf.int32)
        added = _added_text(answer, given, rows, program, decoding).numpy().tolist()  # type: ignore[arg-type]
        texts = [text + more for text, more in zip(texts, added, strict=True)]
        early += sum(len(more) for more, one in zip(added, reason, strict=True) if one == FinishReason.NONE)
        done, steps = upto, steps + 1
    assert texts == want.numpy().tolist()
    assert steps > 3
    # Much of it is shown before the last piece, or nothing is.
    assert early == 0 if name in WHOLE else early > sum(map(len, texts)) / 2
    if stops:
        assert {FinishReason.STOP, FinishReason.LENGTH} == set(reasons)


@pytest.mark.parametrize(
    ("stop", "pieces", "shown"),
    [
        ("", ["a", "Ã", "©", "a"], ["a", "", "é", "a"]),
        ("aaa", ["a", "a", ".", "a"], ["", "", "aa.", "a"]),
    ],
)
def test_text_is_held_back_until_it_is_sure(stop: str, pieces: list[str], shown: list[str]) -> None:
    """A token at a time: half a character waits for its other half, and what may become a stop string."""
    tokenizer = library(DECODERS["byte_level"])
    decoding = Decoding(tokenizer, nodes.parse_tokenizer(json.loads(tokenizer.to_str())).decoder)
    automaton = StopAutomaton([stop], decoding.token_bytes(len(token_strings(tokenizer)))) if stop else None
    options = GenerationOptions(stop_strings=[stop] if stop else (), eos_token_id=())
    program: Any = SimpleNamespace(stop=automaton, options=options)
    ids = [tokenizer.token_to_id(piece) for piece in pieces]
    state, found = tf.zeros([1], tf.int32), []
    for place, token in enumerate(ids):
        after = state if automaton is None else automaton.advance(state, tf.constant([token]))
        last = place == len(ids) - 1
        answer = {
            "sequences": tf.constant([[[token]]]),
            "num_tokens": tf.constant([[1]]),
            "finish_reason": tf.constant([[int(FinishReason.LENGTH if last else FinishReason.NONE)]]),
            "stop_states": tf.stack([state, after], axis=1)[:, None],
        }
        given = tf.ragged.constant([ids[:place]], tf.int32, ragged_rank=1)
        text = _added_text(answer, given, default_rows(options, 1), program, decoding)  # type: ignore[arg-type]
        found.append(text.numpy()[0].decode())
        state = after
    assert found == shown


def test_the_signature_goes_on_and_names_what_is_wrong_with_a_row() -> None:
    """A prompt of its full length with an answer behind it, which only the longest bucket holds."""
    longest, most, piece, k = 4, 6, 3, 2
    options = GenerationOptions(max_new_tokens=most, eos_token_id=())
    key = ProgramKey(
        "generation", options, row_options=True, row_token_ids=k, piece=piece, lengths=(longest + most,)
    )
    model = ToyModel(random_weights(13))
    buckets = Buckets(prompt_lengths=(longest,), batch_sizes=(8,))
    program = Programs(model, buckets, 0, None).get(key)
    assert isinstance(program, GenerationProgram)
    ask = resume_signature(program, None, vocab_size=13, policy=Policy(longest, outputs=("prompt_tokens",)))

    def row(**changed: Any) -> dict[str, Any]:
        neutral = {name: field.off(1, k)[0].numpy() for name, field in row_fields(extras=True).items()}
        ids = {"input_ids": [3, 1, 4, 1], "num_tokens": 4, "generated_ids": [0] * most, "num_generated": 0}
        return neutral | ids | {"piece_tokens": piece, "max_new_tokens": most, "seed": 1} | changed

    def answers(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
        columns = {name: np.array([one[name] for one in rows]) for name in rows[0]}
        inputs = {name: tf.constant(value, ask.inputs[name].dtype) for name, value in columns.items()}
        return {name: value.numpy().tolist() for name, value in ask.function(**inputs).items()}

    whole: list[int] = []
    prompt = make_prompt([[3, 1, 4, 1]])
    want = generate(model, prompt, options, default_rows(options, 1), row_options=False).sequences[0, 0]
    for count, reason in ((2, b""), (1, b""), (3, b"length"), (3, b"length")):
        given = whole + [0] * (most - len(whole))
        got = answers([row(generated_ids=given, num_generated=len(whole), piece_tokens=count)])
        assert (got["finish_reason"], got["error"], got["prompt_tokens"]) == ([reason], [b""], [4])
        whole += got["generated_ids"][0][: got["num_tokens"][0]]
    assert whole == want.numpy().tolist()

    bad: list[tuple[dict[str, Any], str]] = [
        ({}, ""),
        ({"num_generated": most + 1}, "num_generated: 7 is out of range; allowed: 0 to 6"),
        (
            {"generated_ids": [-7] * most, "num_generated": 1},
            "generated_ids: -7 is not in the vocabulary; allowed: 0 to 12",
        ),
        (
            {"max_new_tokens": 3, "num_generated": 4},
            "num_generated=4: allowed: 0 to max_new_tokens=3",
        ),
        ({"piece_tokens": piece + 1}, "piece_tokens=4: allowed: 1 to 3"),
        ({"stop_token_ids": [13, -1]}, "stop_token_ids=13: allowed: 0 to 12, or -1 (none)"),
        ({"num_tokens": 0}, "num_tokens: the prompt is empty; allowed: 1 to 4 tokens"),
        ({"temperature": -1.0}, "temperature=-1: allowed: 0 (greedy) to 100"),
    ]
    got = answers([row(**changed) for changed, _ in bad])
    assert [error.decode() for error in got["error"]] == [error for _, error in bad]
    assert got["finish_reason"] == [b"", *[b"error"] * 7]
    assert got["num_tokens"] == [piece, *[0] * 7]
