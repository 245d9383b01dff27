"""The cache: whatever was expanded, reordered, rolled back or overwritten, a step equals an uncached read."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tests.model.toys import CONFIGS, VOCAB, prompt_of, random_model, uncached

PROMPTS = [[5, 9, 2, 44, 17, 3, 8], [7]]
KINDS = pytest.mark.parametrize("kind", list(CONFIGS))


def tokens(rng: np.random.Generator, rows: int, k: int) -> list[list[int]]:
    return rng.integers(0, VOCAB, (rows, k)).tolist()


def check(model: object, logits: tf.Tensor, histories: list[list[int]]) -> None:
    """``logits`` [rows, k, vocab] are those of the last k tokens of each row's history."""
    for row, history in enumerate(histories):
        expected = uncached(model, history, logits.shape[1])
        spread = np.ptp(expected, axis=-1, keepdims=True)
        np.testing.assert_allclose(logits[row] / spread, expected / spread, atol=1e-4, rtol=0)


@KINDS
def test_long_decoding_in_small_rings(kind: str) -> None:
    model, rng = random_model(CONFIGS[kind]), np.random.default_rng(0)
    histories, steps = [list(ids) for ids in PROMPTS], []
    _, cache = model.prefill(prompt_of(PROMPTS, 7), max_new_tokens=24)
    for _ in range(24):
        fed = tokens(rng, 2, 1)
        histories = [[*ids, *new] for ids, new in zip(histories, fed, strict=True)]
        logits, cache = model.extend(tf.constant(fed), cache)
        steps.append(logits)
    check(model, tf.concat(steps, axis=1), histories)
    windows = [layer.attention.window for layer in model.spec.decoder.layers]
    kept = [
        (keys.shape[1], prompt.keys.shape[1])
        for keys, prompt in zip(cache.state.keys, cache.prompts, strict=True)
    ]
    assert kept == [(window + 1, window) if window else (24, 7) for window in windows]


@KINDS
@pytest.mark.parametrize("shared", [True, False])
def test_expand_and_reorder(kind: str, shared: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exporter.model.cache.SHARING_ROWS", 3 if shared else 2)
    model, rng = random_model(CONFIGS[kind]), np.random.default_rng(1)
    _, cache = model.prefill(prompt_of(PROMPTS, 9), max_new_tokens=12)
    cache = cache.expand(3)
    assert cache.shared == shared
    for prompt, kept in zip(cache.prompts, cache.state.keys, strict=True):
        assert prompt.keys.shape[0] * (1 if shared else 3) == kept.shape[0], "prompts are not copied"
    histories = [list(PROMPTS[row // 3]) for row in range(6)]
    for order in ([0, 1, 2, 3, 4, 5], [2, 0, 0, 4, 5, 3], [1, 1, 1, 3, 3, 4], [0, 2, 1, 5, 3, 4]) * 2:
        fed = tokens(rng, 6, 1)
        histories = [[*ids, *new] for ids, new in zip(histories, fed, strict=True)]
        logits, cache = model.extend(tf.constant(fed), cache)
        check(model, logits, histories)
        cache = cache.reorder(tf.constant(order))
        histories = [histories[index] for index in order]


@KINDS
@pytest.mark.parametrize("copies", [1, 2])
def test_rollback_by_rows(kind: str, copies: int) -> None:
    model, rng = random_model(CONFIGS[kind]), np.random.default_rng(2)
    rows, k, capacity = 2 * copies, 3, 16
    _, cache = model.prefill(prompt_of(PROMPTS, 8), max_new_tokens=capacity)
    cache = cache.expand(copies).per_row(k)
    histories = [list(PROMPTS[row // copies]) for row in range(rows)]
    generated, differed = np.zeros(rows, int), False
    for _ in range(12):
        fed = tokens(rng, rows, k)
        logits, cache = model.extend(tf.constant(fed), cache)
        check(model, logits, [[*ids, *new] for ids, new in zip(histories, fed, strict=True)])
        kept = np.minimum(rng.integers(0, k + 1, rows), capacity - generated)
        histories = [[*ids, *new[:keep]] for ids, new, keep in zip(histories, fed, kept, strict=True)]
        generated += kept
        differed |= len(set(generated.tolist())) > 1
        cache = cache.truncate(tf.constant(k - kept, tf.int32))
    assert differed, "rows advanced differently"


@KINDS
def test_reorder_of_rows_that_count_for_themselves(kind: str) -> None:
    model, rng = random_model(CONFIGS[kind]), np.random.default_rng(3)
    _, cache = model.prefill(prompt_of(PROMPTS[:1], 7), max_new_tokens=9)
    cache = cache.expand(2).per_row(3)
    fed = tokens(rng, 2, 3)
    _, cache = model.extend(tf.constant(fed), cache)
    cache = cache.truncate(tf.constant([2, 0])).reorder(tf.constant([1, 0]))
    more = tokens(rng, 2, 2)
    logits, _ = model.extend(tf.constant(more), cache)
    check(model, logits, [[*PROMPTS[0], *fed[1], *more[0]], [*PROMPTS[0], *fed[0][:1], *more[1]]])


@KINDS
def test_expand_after_some_steps(kind: str) -> None:
    model, rng = random_model(CONFIGS[kind]), np.random.default_rng(4)
    _, cache = model.prefill(prompt_of(PROMPTS, 7), max_new_tokens=6)
    fed = tokens(rng, 2, 1)
    _, cache = model.extend(tf.constant(fed), cache.expand(1))
    cache, more = cache.expand(2), tokens(rng, 4, 1)
    logits, _ = model.extend(tf.constant(more), cache)
    check(model, logits, [[*PROMPTS[row // 2], *fed[row // 2], *more[row]] for row in range(4)])
    with pytest.raises(ValueError, match="expanded once"):
        cache.expand(2)


def test_truncate_needs_rows_that_count_for_themselves() -> None:
    model = random_model(CONFIGS["rotary"])
    _, cache = model.prefill(prompt_of(PROMPTS, 7), max_new_tokens=4)
    with pytest.raises(ValueError, match="per_row"):
        cache.truncate(tf.constant([1, 1]))


def test_more_tokens_than_a_ring_can_take() -> None:
    model = random_model(CONFIGS["window"])
    _, cache = model.prefill(prompt_of(PROMPTS, 7), max_new_tokens=20)
    with pytest.raises(ValueError, match=r"per_row\(3\)"):
        model.extend(tf.constant([[1, 2, 3], [4, 5, 6]]), cache)
    logits, _ = model.extend(tf.constant([[1, 2, 3], [4, 5, 6]]), cache.per_row(3))
    check(model, logits, [[*PROMPTS[0], 1, 2, 3], [*PROMPTS[1], 4, 5, 6]])


@pytest.mark.parametrize("dtype", [tf.bfloat16, tf.float16])
def test_half_precision_is_near_float32(dtype: tf.DType) -> None:
    model = random_model(CONFIGS["alternating windows"], dtype.as_numpy_dtype)
    exact = random_model(CONFIGS["alternating windows"])
    _, cache = model.prefill(prompt_of(PROMPTS, 7), max_new_tokens=2)
    assert {part.dtype for part in cache.state.keys} == {dtype}
    logits, _ = model.extend(tf.constant([[3], [4]]), cache)
    assert logits.dtype == tf.float32
    for row, history in enumerate([[*PROMPTS[0], 3], [*PROMPTS[1], 4]]):
        expected = uncached(exact, history)
        np.testing.assert_allclose(logits[row], expected, atol=0.05 * np.ptp(expected), rtol=0)
