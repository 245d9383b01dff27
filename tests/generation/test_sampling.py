"""Sampling: frequencies, seeds, and what per-row options may and may not cost."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from exporter.generation.calls import generate
from exporter.generation.choice import draw_token
from exporter.generation.generation_options import GenerationOptions
from exporter.generation.rows import (
    ROW_FIELDS,
    RowOptions,
    check_rows,
    default_rows,
    mask_rows,
    resolve_seeds,
    row_fields,
    with_extras,
)
from tests.generation.test_greedy import run
from tests.generation.toy import ToyModel, make_prompt, random_weights

VOCAB = 23
WEIGHTS = random_weights(VOCAB, scale=0.5)
PROMPTS = [[3, 4, 5], [7], [1, 2, 3, 4, 5, 6], [9, 9]]
SAMPLE = GenerationOptions(do_sample=True, max_new_tokens=8, seed=11)


def sample(options: GenerationOptions, prompts: list[list[int]] = PROMPTS, **kwargs: Any) -> np.ndarray:
    return run(options, prompts, weights=WEIGHTS, **kwargs).sequences


@pytest.mark.parametrize("vocab", [7, 300, 1000])
def test_frequencies_of_draws_pass_a_chi_square(vocab: int) -> None:
    """50,000 seeds draw from one distribution of several blocks, some tokens of probability 0."""
    rng, draws = np.random.default_rng(vocab), 50_000
    logits = rng.normal(size=vocab, scale=1.5).astype(np.float32)
    logits[rng.random(vocab) < 0.3] = -np.inf
    probs = np.exp(logits.astype(np.float64))
    probs /= probs.sum()

    @tf.function(jit_compile=True)
    def draw(seeds: tf.Tensor) -> tf.Tensor:
        return draw_token(tf.tile(logits[None], [1000, 1]), seeds, tf.constant(5))

    drawn = np.concatenate([draw(tf.range(i, i + 1000, dtype=tf.int64)) for i in range(0, draws, 1000)])
    counts = np.bincount(drawn, minlength=vocab)
    assert not counts[probs == 0].any()
    large = probs * draws >= 5
    observed = np.append(counts[large], counts[~large].sum())
    expected = np.append(probs[large], probs[~large].sum()) * draws
    statistic = ((observed - expected) ** 2 / np.maximum(expected, 1e-9)).sum()
    freedom = len(observed) - 1
    # Wilson and Hilferty's approximation of the 0.999 quantile.
    limit = freedom * (1 - 2 / (9 * freedom) + 3.09 * np.sqrt(2 / (9 * freedom))) ** 3
    assert statistic < limit


def test_a_row_draws_the_same_alone_in_any_batch_and_in_any_bucket() -> None:
    """Behind padding, and without any: the longest prompt has six tokens."""
    together = sample(SAMPLE, length=8)
    assert len({tuple(row) for row in together[:, 0].tolist()}) == 4
    for row, prompt in enumerate(PROMPTS):
        assert (sample(SAMPLE, [prompt], length=6)[0] == together[row]).all()
        assert (sample(SAMPLE, [[1], prompt, [2]], length=16)[1] == together[row]).all()


def test_n_sequences_are_n_seeds() -> None:
    several = sample(SAMPLE.model_copy(update={"num_return_sequences": 3}))
    for index in range(3):
        alone = sample(SAMPLE, rows=default_rows(SAMPLE.model_copy(update={"seed": SAMPLE.seed + index}), 4))
        assert (several[:, index] == alone[:, 0]).all()


@pytest.mark.parametrize("row_options", [False, True])
def test_top_k_of_one_is_greedy(row_options: bool) -> None:
    greedy = sample(GenerationOptions(max_new_tokens=8))
    assert (sample(SAMPLE.model_copy(update={"top_k": 1}), row_options=row_options) == greedy).all()


def test_rows_of_a_batch_may_be_greedy_or_sampled_with_their_own_settings() -> None:
    options = GenerationOptions(max_new_tokens=8)
    rows = default_rows(options, 4)._replace(
        temperature=tf.constant([0.0, 1.0, 0.7, 1.3]),
        top_k=tf.constant([0, 5, 0, 9]),
        top_p=tf.constant([1.0, 1.0, 0.8, 0.9]),
        min_p=tf.constant([0.0, 0.0, 0.1, 0.0]),
        repetition_penalty=tf.constant([1.0, 1.2, 1.0, 1.0]),
        presence_penalty=tf.constant([0.0, 0.0, 0.5, 0.0]),
        frequency_penalty=tf.constant([0.0, 0.0, 0.0, 0.3]),
        seed=tf.constant([1, 2, 3, 4], tf.int64),
    )
    together = sample(options, rows=rows, row_options=True)
    for row, prompt in enumerate(PROMPTS):
        values = {name: getattr(rows, name)[row].numpy().item() for name in ROW_FIELDS}
        if not values["temperature"]:
            values = {"max_new_tokens": 8}
        baked = GenerationOptions(**values, do_sample="seed" in values)
        assert (sample(baked, [prompt], length=8)[0] == together[row]).all(), row


def change_every_row_option() -> int:
    """Calls one compiled function with other values of every per-row option; returns its traces."""
    options = GenerationOptions(max_new_tokens=4)
    traces = []

    @tf.function(jit_compile=True)
    def compiled(prompt: Any, rows: RowOptions) -> tf.Tensor:
        traces.append(1)
        return generate(ToyModel(WEIGHTS), prompt, options, rows, row_options=True).sequences

    changes: dict[str, list[Any]] = {
        "max_new_tokens": [1, 3], "temperature": [0.5, 2.0], "top_k": [1, 9], "top_p": [0.1, 0.9],
        "min_p": [0.3, 0.9], "repetition_penalty": [0.5, 2.0], "presence_penalty": [-1.0, 1.0],
        "frequency_penalty": [-1.0, 1.0], "seed": [5, 2**62], "finished": [True, False],
        "stop_token_ids": [[3, -1], [4, 5]], "logit_bias_ids": [[3, -1], [4, 5]],
        "logit_bias_values": [[1.0, 0.0], [-2.0, 3.0]], "allowed_token_ids": [[3, 4], [-1, -1]],
        "bad_token_ids": [[3, -1], [4, 5]], "ignore_eos": [True, False],
    }  # fmt: skip
    assert set(changes) == {*row_fields(extras=True), "finished"}
    rows = with_extras(default_rows(options, 2), 2)
    for name, values in changes.items():
        changed = rows._replace(**{name: tf.constant(values, getattr(rows, name).dtype)})
        compiled(make_prompt(PROMPTS[:2]), changed)
    return len(traces)


def test_changing_row_options_adds_no_trace_and_no_compilation() -> None:
    """In a fresh process, by TensorFlow's own compilation log."""
    script = "from tests.generation.test_sampling import *; assert change_every_row_option() == 1"
    log = {"TF_CPP_MIN_LOG_LEVEL": "0", "TF_CPP_VMODULE": "device_compilation_profiler=1"}
    process = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, env=os.environ | log
    )
    assert process.returncode == 0, process.stderr
    assert len(re.findall(r"Compiled \S*compiled\S* \d+ times", process.stderr)) == 1


def test_bad_rows_are_named_and_masked() -> None:
    options = GenerationOptions(max_new_tokens=8)
    rows = default_rows(options, 8)._replace(
        max_new_tokens=tf.constant([8, 9, 8, 8, 8, 8, 0, 8]),
        temperature=tf.constant([1.0, 1, np.nan, 1, 1, -1, 1, 1]),
        top_k=tf.constant([0, 0, 0, -1, 0, 0, 0, 0]),
        top_p=tf.constant([1.0, 1, 1, 1, 0, 2, 1, 1]),
        seed=tf.constant([-1, 0, 0, 0, 0, 0, 0, -2], tf.int64),
    )
    messages = [message.decode() for message in check_rows(rows, options).numpy()]
    assert messages == [
        "",
        "max_new_tokens=9: allowed: 1 to 8",
        "temperature=nan: allowed: 0 (greedy) to 100",
        "top_k=-1: allowed: 0 (off) or more",
        "top_p=0: allowed: above 0, at most 1 (off)",
        "temperature=-1: allowed: 0 (greedy) to 100",
        "max_new_tokens=0: allowed: 1 to 8",
        "seed=-2: allowed: 0 or more, or -1 (unpredictable)",
    ]
    masked = mask_rows(rows, tf.constant([message != "" for message in messages]))
    assert masked.finished.numpy().tolist() == [False, *[True] * 7]
    assert check_rows(masked, options).numpy().tolist() == [b""] * 8


def test_good_rows_are_answered_beside_bad_ones() -> None:
    options = GenerationOptions(max_new_tokens=8)
    rows = default_rows(options, 4)._replace(
        temperature=tf.constant([1.0, np.nan, 1.0, 0.0]), seed=tf.constant([1, 2, 3, 4], tf.int64)
    )
    bad = tf.not_equal(check_rows(rows, options), "")
    got = sample(options, rows=mask_rows(rows, bad), row_options=True)
    good = default_rows(options, 4)._replace(temperature=tf.constant([1.0, 1.0, 1.0, 0.0]), seed=rows.seed)
    want = sample(options, rows=good, row_options=True)
    assert (got[[0, 2, 3]] == want[[0, 2, 3]]).all()
    assert not got[1].any()


def test_unpredictable_seeds_differ_and_given_ones_stay() -> None:
    seeds = tf.constant([-1, 5, -1, -1], tf.int64)
    tf.random.set_seed(1)
    first = tf.function(resolve_seeds)(seeds).numpy()
    tf.random.set_seed(1)
    second = tf.function(resolve_seeds)(seeds).numpy()
    assert first[1] == second[1] == 5
    assert len({*first, *second}) == 7
    assert (first >= 0).all()
