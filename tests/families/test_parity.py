"""Every family's cases against the PyTorch reference, run on each prompt alone, unpadded."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf

from exporter.choices import Target
from exporter.generation.step import Prompt
from exporter.model import Transformer
from exporter.targets import compiled_for
from tests.families import reference
from tests.families.case import every_case, marked
from tests.families.cases import FAMILIES, VOCAB, Case, FamilyCases
from tests.families.conftest import Built

pytestmark = pytest.mark.parity

LENGTHS = (7, 1, 4, 12)
BUCKET, NEW = 12, 6
# Of a row's range of logits; see "What parity means" in docs/design.md.
TOLERANCE = 1e-4

CASES = every_case(FAMILIES)
BUCKETS = [13, *(pytest.param(size, marks=pytest.mark.full) for size in (12, 16, 24))]
#: One of each mechanism: for what is compiled or is about padding.
QUICK = {
    "llama": "rotary",
    "gpt2": "learned positions",
    "bloom": "ALiBi",
    "mistral": "windows",
    "gemma2": "soft caps, every other layer windowed",
    "ministral3": "queries that grow",
    "gpt_oss": "sinks, windows, a mixture",
    "apertus": "a learned activation",
    "qwen3_5_text": "a state beside keys and values",
    "nanochat": "norms behind the rotation",
}
#: Those that differ most in what a GPU is made: blocks with caps and windows, a mixture with sinks, a scan.
ON_GPU = {"gemma2", "gpt_oss", "qwen3_5_text"}
# A compilation costs seconds, and prompts of several lengths share a bucket in every test anyway.
PADDED = every_case(FAMILIES, QUICK.keys())
COMPILED = [
    pytest.param(
        family,
        family.cases[0],
        target,
        id=f"{family.model_type}-{target}",
        marks=marked(family.model_type not in quick),
    )
    for target, quick in (("cpu", QUICK.keys()), ("gpu", ON_GPU))
    for family in FAMILIES
]
Builder = Callable[[FamilyCases, Case], Built]
Floats = npt.NDArray[np.float32]


def sequences(seed: int = 0) -> list[npt.NDArray[np.int32]]:
    """Random ids: each row's prompt and the tokens that are fed after it."""
    rng = np.random.default_rng(seed)
    return [rng.integers(3, VOCAB, length + NEW).astype(np.int32) for length in LENGTHS]


def padded(rows: list[npt.NDArray[np.int32]], lengths: tuple[int, ...], bucket: int) -> Prompt:
    """Left-padded prompts; the padding holds ids out of range, which must not matter."""
    tokens = np.full([len(rows), bucket], -1, np.int32)
    for row, (ids, length) in enumerate(zip(rows, lengths, strict=True)):
        tokens[row, bucket - length :] = ids[:length]
    return Prompt(tf.constant(tokens), tf.constant(lengths))


def assert_close(ours: Any, reference_logits: Floats) -> None:
    """|difference| <= TOLERANCE of each row's range; positions on the first axis."""
    ours = np.asarray(ours)
    assert ours.shape == reference_logits.shape
    assert np.isfinite(ours).all()
    error = np.abs(ours - reference_logits).max(axis=-1) / np.ptp(reference_logits, axis=-1)
    assert error.max() <= TOLERANCE, error


@pytest.mark.parametrize(("family", "case"), CASES)
def test_prefill_logits_of_every_position(build: Builder, family: FamilyCases, case: Case) -> None:
    built, rows = build(family, case), sequences()
    logits, _ = built.ours.prefill(padded(rows, LENGTHS, BUCKET), max_new_tokens=NEW, logits="all")
    for row, length in enumerate(LENGTHS):
        assert_close(logits[row, BUCKET - length :], reference.logits(built.oracle, rows[row][:length]))


@pytest.mark.parametrize(("family", "case"), CASES)
def test_cached_steps(build: Builder, family: FamilyCases, case: Case) -> None:
    built, rows = build(family, case), sequences()
    logits, cache = built.ours.prefill(padded(rows, LENGTHS, BUCKET), max_new_tokens=NEW)
    steps = [logits]
    for step in range(NEW):
        tokens = [[ids[length + step]] for ids, length in zip(rows, LENGTHS, strict=True)]
        logits, cache = built.ours.extend(tf.constant(tokens, tf.int32), cache)
        steps.append(logits[:, 0])
    ours = np.stack(steps, axis=1)
    for row, length in enumerate(LENGTHS):
        assert_close(ours[row], reference.cached_logits(built.oracle, rows[row], length))


@pytest.mark.parametrize(("family", "case"), CASES)
def test_extending_by_several_equals_one_by_one(build: Builder, family: FamilyCases, case: Case) -> None:
    built, rows = build(family, case), sequences()
    _, cache = built.ours.prefill(padded(rows, LENGTHS, BUCKET), max_new_tokens=NEW)
    tokens = tf.constant([ids[-NEW:] for ids in rows])
    together, _ = built.ours.extend(tokens, cache.per_row(NEW))
    for index in range(NEW):
        single, cache = built.ours.extend(tokens[:, index : index + 1], cache)
        for row in range(len(rows)):
            assert_close(together[row, index : index + 1], np.asarray(single[row]))


def greedy(model: Transformer, tokens: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
    """int32 [batch, NEW]: a decoding loop without any option."""
    logits, cache = model.prefill(Prompt(tokens, lengths), max_new_tokens=NEW)
    chosen = tf.argmax(logits, axis=-1, output_type=tf.int32)
    written = tf.one_hot(0, NEW, dtype=tf.int32) * chosen[:, tf.newaxis]

    def body(step: tf.Tensor, chosen: tf.Tensor, written: tf.Tensor, state: Any) -> Any:
        logits, new = model.extend(chosen[:, tf.newaxis], cache.with_state(state))
        chosen = tf.argmax(logits[:, 0], axis=-1, output_type=tf.int32)
        written += tf.one_hot(step, NEW, dtype=tf.int32) * chosen[:, tf.newaxis]
        return step + 1, chosen, written, new.state

    return tf.while_loop(lambda step, *_: step < NEW, body, (1, chosen, written, cache.state))[2]


@pytest.mark.parametrize(("family", "case", "target"), COMPILED)
def test_compiled_greedy_in_one_bucket(
    build: Builder, family: FamilyCases, case: Case, target: Target
) -> None:
    built, rows = build(family, case), sequences()
    open_shapes = [tf.TensorSpec([None, None], tf.int32), tf.TensorSpec([None], tf.int32)]
    compiled = tf.function(
        partial(greedy, built.ours), jit_compile=True, autograph=False, input_signature=open_shapes
    )
    with compiled_for(target):
        ours = compiled(*padded(rows, LENGTHS, BUCKET)[:2]).numpy()
    for row, length in enumerate(LENGTHS):
        assert ours[row].tolist() == reference.greedy(built.oracle, rows[row][:length], NEW)


@pytest.mark.parametrize(("family", "case"), PADDED)
@pytest.mark.parametrize("bucket", BUCKETS)
def test_bucket_does_not_matter(build: Builder, family: FamilyCases, case: Case, bucket: int) -> None:
    built, rows = build(family, case), sequences()
    prompt = padded(rows, LENGTHS, bucket)
    logits, cache = built.ours.prefill(prompt, max_new_tokens=NEW)
    tokens = tf.constant([[ids[length]] for ids, length in zip(rows, LENGTHS, strict=True)])
    stepped, _ = built.ours.extend(tokens, cache)
    for row, length in enumerate(LENGTHS):
        alone = padded(rows[row : row + 1], (length,), length)
        expected, cache = built.ours.prefill(alone, max_new_tokens=NEW)
        assert_close(logits[row : row + 1], np.asarray(expected))
        expected, _ = built.ours.extend(tokens[row : row + 1], cache)
        assert_close(stepped[row], np.asarray(expected[0]))
