"""Ids of rows (stop, biased, allowed, bad) and ignore_eos, against transformers on each prompt alone."""

from __future__ import annotations

from typing import Any

import pytest
import tensorflow as tf
import torch

from exporter.generation.generation_options import GenerationOptions
from exporter.generation.result import FinishReason
from exporter.generation.rows import (
    EXTRA_FIELDS,
    RowOptions,
    check_rows,
    default_rows,
    mask_rows,
)
from tests.generation.test_greedy import PROMPTS, VOCAB, WEIGHTS, run
from tests.generation.toy import TorchToy

EOS = (4,)
OPTIONS = GenerationOptions(max_new_tokens=12, eos_token_id=EOS)

#: A row's extras, and what says the same to transformers.
ROWS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    ({"stop_token_ids": [3, 17]}, {"eos_token_id": [4, 3, 17]}),
    (
        {"logit_bias_ids": [3, 8], "logit_bias_values": [4.0, -5.0]},
        {"sequence_bias": [[[3], 4.0], [[8], -5.0]]},
    ),
    ({"bad_token_ids": [1, 4, 19]}, {"bad_words_ids": [[1], [4], [19]]}),
    (
        {"allowed_token_ids": [6, 10, 13]},
        {"suppress_tokens": [i for i in range(VOCAB) if i not in (6, 10, 13)]},
    ),
    ({"ignore_eos": True}, {"eos_token_id": None}),
    ({"ignore_eos": True, "stop_token_ids": [11]}, {"eos_token_id": [11]}),
    (
        {
            "logit_bias_ids": [3, 5],
            "logit_bias_values": [9.0, 8.0],
            "bad_token_ids": [3],
            "stop_token_ids": [5],
        },
        {"sequence_bias": [[[3], 9.0], [[5], 8.0]], "bad_words_ids": [[3]], "eos_token_id": [4, 5]},
    ),
]


def _rows(options: GenerationOptions, extras: list[dict[str, Any]], k: int = 3) -> RowOptions:
    """Greedy rows; lists are filled up to k."""
    rows = default_rows(options, len(extras))
    columns = {}
    for name, field in EXTRA_FIELDS.items():
        values = [row.get(name, [] if field.several else field.neutral) for row in extras]
        if field.several:
            values = [[*value, *[field.neutral] * (k - len(value))] for value in values]
        columns[name] = tf.constant(values, field.dtype)
    return rows._replace(**columns)


@pytest.mark.parametrize("least", [0, 5])
def test_a_row_s_ids_are_what_the_reference_makes_of_them(least: int) -> None:
    """A stop id is an end like any other: not before ``min_new_tokens`` either."""
    options = OPTIONS.model_copy(update={"min_new_tokens": least})
    reference, ended = TorchToy(WEIGHTS), set()
    asked = [(prompt, *row) for prompt in PROMPTS for row in ROWS]
    rows = _rows(options, [extras for _, extras, _ in asked])
    got = run(options, [prompt for prompt, _, _ in asked], rows, row_options=True)
    for row, (prompt, extras, settings) in enumerate(asked):
        if least and "ignore_eos" in extras:
            continue  # it says nothing of when an end may be chosen
        said = {"eos_token_id": list(EOS), "pad_token_id": 0, "max_new_tokens": 12, **settings}
        if least:
            said["min_new_tokens"] = least
        want = reference.generate(torch.tensor([prompt]), use_cache=False, **said)[0, len(prompt) :]
        count = got.num_tokens[row, 0]
        assert got.sequences[row, 0, :count].tolist() == want.tolist(), extras
        ended.add((row % len(ROWS), got.finish_reason[row, 0] == FinishReason.STOP))
    assert {(1, True), (7, True)} <= ended


def test_ids_that_cannot_be_are_named_and_their_row_alone_is_masked() -> None:
    bad: list[tuple[dict[str, Any], str]] = [
        ({}, ""),
        ({"stop_token_ids": [3, VOCAB]}, "stop_token_ids=23: allowed: 0 to 22, or -1 (none)"),
        ({"logit_bias_ids": [-2]}, "logit_bias_ids=-2: allowed: 0 to 22, or -1 (none)"),
        ({"logit_bias_values": [0.0, 101.0]}, "logit_bias_values=101: allowed: -100 to 100"),
        ({"logit_bias_values": [float("nan")]}, "logit_bias_values=nan: allowed: -100 to 100"),
        ({"allowed_token_ids": [99]}, "allowed_token_ids=99: allowed: 0 to 22, or -1 (none)"),
        ({"bad_token_ids": [1, 2, 40]}, "bad_token_ids=40: allowed: 0 to 22, or -1 (none)"),
        (
            {"allowed_token_ids": [5, 6], "bad_token_ids": [6, 5, 1]},
            "bad_token_ids: none of allowed_token_ids is left",
        ),
        ({"allowed_token_ids": [4], "bad_token_ids": [4]}, ""),  # an end cannot be a bad word
    ]
    rows = _rows(OPTIONS, [extras for extras, _ in bad])
    errors = check_rows(rows, OPTIONS, VOCAB)
    assert [message.decode() for message in errors.numpy()] == [message for _, message in bad]
    masked = mask_rows(rows, errors != "")
    assert masked.finished.numpy().tolist() == [bool(message) for _, message in bad]
    assert masked.allowed_token_ids.numpy()[[5, 7, 8]].tolist() == [[-1] * 3, [-1] * 3, [4, -1, -1]]
