"""Requests become rows; a bad row is data and never harms its neighbours."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from exporter.saved_model.requests import checked_ids, rows_from_ids, rows_from_text, utf8_error


class ByteTokenizer:
    """One token per byte: enough to see what happens to rows."""

    def __init__(self, vocab_size: int = 256) -> None:
        self.vocab_size = vocab_size

    def encode(self, text: tf.Tensor, add_special_tokens: bool = True) -> tf.RaggedTensor:
        flat = tf.strings.bytes_split(text)
        return flat.with_values(tf.reshape(tf.cast(tf.io.decode_raw(flat.values, tf.uint8), tf.int32), [-1]))


TOKENIZER: Any = ByteTokenizer()


def texts(rows: Any) -> list[str]:
    return [bytes(row).decode() for row in rows.tokens.to_list()]


def errors(error: tf.Tensor) -> list[str]:
    return [item.decode() for item in error.numpy()]


def test_utf8_is_judged_exactly() -> None:
    rng = random.Random(5)
    # Bytes at the borders of UTF-8's ranges make most of the interesting sequences.
    alphabet = bytes.fromhex("00417f80a0bfc0c2dfe09fedefbbf0908ff4f5ff")
    cases = [bytes(rng.choices(alphabet, k=rng.randint(0, 5))) for _ in range(50_000)]
    cases += [chr(point).encode() for point in range(0x110000) if not 0xD800 <= point < 0xE000]

    def valid(data: bytes) -> bool:
        try:
            data.decode()
        except UnicodeDecodeError:
            return False
        return True

    judged = utf8_error(tf.constant(cases, tf.string)).numpy() == b""
    np.testing.assert_array_equal(judged, [valid(case) for case in cases])


def test_a_token_past_the_model_is_its_row_s_error() -> None:
    """As for ids; wherever in the text, also where it would be truncated away. Its neighbours stay."""
    text = tf.constant([b"good", b"a\x7fb", b"\x7eaaaaaaa\x7f", b"\xff", b"fine"], tf.string)
    rows = rows_from_text(
        ByteTokenizer(128), text, longest=5, overflow="truncate_right", field="prompt", vocab_size=126
    )
    assert texts(rows) == ["good", "", "", "", "fine"]
    told = " is not in the vocabulary; allowed: 0 to 125"
    assert errors(rows.error) == [
        "", f"prompt: token 127{told}", f"prompt: token 126{told}", "prompt: not valid UTF-8", ""
    ]  # fmt: skip
    ids = rows_from_ids(tf.constant([[97, 127]]), tf.constant([2]), vocab_size=126, longest=5)
    assert errors(ids.error) == [f"input_ids: 127{told}"]


def test_nothing_is_checked_where_no_token_lies_past_the_model() -> None:
    """The same graph, op for op, as without a limit."""

    def ops(**limit: int) -> list[str]:
        def rows(text: tf.Tensor) -> tf.Tensor:
            return rows_from_text(ByteTokenizer(128), text, longest=5, overflow="error", **limit).error

        function = tf.function(rows, input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
        return [op.type for op in function.get_concrete_function().graph.get_operations()]

    assert ops() == ops(vocab_size=128)
    assert len(ops(vocab_size=127)) > len(ops())


def test_bad_rows_are_emptied_and_named() -> None:
    text = tf.constant([b"good", b"\xff\xfe", b"", b"too long", b"fine"], tf.string)
    rows = rows_from_text(TOKENIZER, text, longest=5, overflow="error")
    assert texts(rows) == ["good", "", "", "", "fine"]
    assert errors(rows.error) == [
        "",
        "text: not valid UTF-8",
        "text: the prompt is empty; allowed: 1 to 5 tokens",
        "text: the prompt has 8 tokens; allowed: 1 to 5",
        "",
    ]
    assert not rows.truncated.numpy().any()


@pytest.mark.parametrize(("overflow", "kept"), [("truncate_left", "cdefg"), ("truncate_right", "abcde")])
def test_overflow_can_truncate(overflow: Any, kept: str) -> None:
    rows = rows_from_text(TOKENIZER, tf.constant(["ab", "abcdefg", "abcde"]), longest=5, overflow=overflow)
    assert texts(rows) == ["ab", kept, "abcde"]
    assert rows.truncated.numpy().tolist() == [False, True, False]
    assert errors(rows.error) == ["", "", ""]


def test_an_empty_batch_stays_empty() -> None:
    rows = rows_from_text(TOKENIZER, tf.zeros([0], tf.string), longest=5, overflow="error")
    assert rows.tokens.to_list() == []
    assert rows.error.shape == (0,)


def test_ids_are_checked_row_by_row() -> None:
    ids = tf.constant([[1, 2, 3], [1, 2, 99], [9, -1, 99], [10, 0, 0], [1, 1, 1], [1, 1, 1]])
    counts = tf.constant([3, 2, 3, 1, 4, -1])
    tokens, error = checked_ids(ids, counts, vocab_size=10)
    assert tokens.to_list() == [[1, 2, 3], [1, 2], [], [], [], []]
    assert errors(error) == [
        "",
        "",
        "input_ids: -1 is not in the vocabulary; allowed: 0 to 9",
        "input_ids: 10 is not in the vocabulary; allowed: 0 to 9",
        "num_tokens: 4 is out of range; allowed: 0 to 3",
        "num_tokens: -1 is out of range; allowed: 0 to 3",
    ]
    rows = rows_from_ids(ids, tf.constant([3, 0, 1, 1, 1, 1]), vocab_size=10, longest=2)
    assert errors(rows.error)[:3] == [
        "num_tokens: the prompt has 3 tokens; allowed: 1 to 2",
        "num_tokens: the prompt is empty; allowed: 1 to 2 tokens",
        "",
    ]


def test_truncating_on_the_left_keeps_the_first_tokens_asked_for() -> None:
    """The end of a prefix is never cut: the oldest tokens behind it are."""
    rows = rows_from_text(
        TOKENIZER,
        tf.constant(["QA:abcdefgh", "QA:ab", "QA:abc", "QA"]),
        longest=6,
        overflow="truncate_left",
        keep_first=3,
    )
    assert texts(rows) == ["QA:fgh", "QA:ab", "QA:abc", "QA"]
    assert rows.truncated.numpy().tolist() == [True, False, False, False]
    rows = rows_from_text(
        TOKENIZER, tf.constant(["QA:abcdefgh"]), longest=6, overflow="truncate_right", keep_first=3
    )
    assert texts(rows) == ["QA:abc"]


def test_a_row_that_is_too_long_is_told_where_to_go() -> None:
    rows = rows_from_text(
        TOKENIZER, tf.constant(["abcd", "abc"]), longest=3, overflow="error", advice="; x_9 takes up to 9"
    )
    assert errors(rows.error) == ["text: the prompt has 4 tokens; allowed: 1 to 3; x_9 takes up to 9", ""]
