"""Every family's cases against the PyTorch reference, run on each prompt alone, unpadded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf

from exporter.generation.step import Prompt
from exporter.model import blocks
from tests.encoder_decoder import reference
from tests.encoder_decoder.cases import FAMILIES
from tests.families.case import VOCAB, Case, FamilyCases
from tests.families.conftest import Built
from tests.families.test_parity import assert_close, padded

pytestmark = pytest.mark.parity

# Tokens of each row's encoder input and decoder prompt.
SOURCE, TARGET = (7, 1, 4, 12), (1, 3, 2, 1)
NEW = 5

CASES = [
    pytest.param(family, case, id=f"{family.model_type}-{index}")
    for family in FAMILIES
    for index, case in enumerate(family.cases)
]
# Every case in the full run, each family's first one in the quick one.
SOME = [
    pytest.param(family, case, id=f"{family.model_type}-{index}", marks=[pytest.mark.full] if index else [])
    for family in FAMILIES
    for index, case in enumerate(family.cases)
]
FIRST = [pytest.param(family, family.cases[0], id=family.model_type) for family in FAMILIES]
# A compilation costs seconds: one of each mechanism in the quick run.
COMPILED = [
    pytest.param(
        family,
        family.cases[0],
        id=family.model_type,
        marks=[] if family.model_type in {"t5", "bart", "m2m_100", "t5gemma"} else [pytest.mark.full],
    )
    for family in FAMILIES
]
Builder = Callable[[FamilyCases, Case], Built]
Ints = npt.NDArray[np.int32]


class Row(NamedTuple):
    """One row's encoder input, and its decoder prompt with what is fed after it."""

    source: Ints
    target: Ints


def sequences() -> list[Row]:
    rng = np.random.default_rng(0)
    rows = [
        Row(
            rng.integers(3, VOCAB, source).astype(np.int32),
            rng.integers(3, VOCAB, target + NEW).astype(np.int32),
        )
        for source, target in zip(SOURCE, TARGET, strict=True)
    ]
    # Padding tokens of some cases, here as ordinary ones: in the prompts and among what is fed after them.
    for row in rows[1:]:
        row.source[len(row.source) // 2] = row.target[len(row.target) - NEW - 2] = row.target[-3] = 5
    return rows


def right_padded(rows: list[Ints], bucket: int) -> tf.Tensor:
    """The padding holds ids out of range, which must not matter."""
    return tf.constant([[*row, *[-1] * (bucket - len(row))] for row in rows], tf.int32)


def prompt_of(rows: list[Row], source_bucket: int = 12, target_bucket: int = 3) -> Prompt:
    lengths = tuple(len(row.target) - NEW for row in rows)
    return padded([row.target for row in rows], lengths, target_bucket)._replace(
        encoder_tokens=right_padded([row.source for row in rows], source_bucket),
        encoder_lengths=tf.constant([len(row.source) for row in rows]),
    )


def steps(model: Any, rows: list[Row], prompt: Prompt, count: int = NEW) -> Any:
    """float32 [rows, count + 1, vocab]: logits of the prompts' last tokens, then of each token fed."""
    logits, cache = model.prefill(prompt, max_new_tokens=NEW)
    seen = [logits]
    for step in range(count):
        fed = tf.constant([[row.target[len(row.target) - NEW + step]] for row in rows], tf.int32)
        logits, cache = model.extend(fed, cache)
        seen.append(logits[:, 0])
    return np.stack(seen, axis=1)


@pytest.mark.parametrize("bucket", [12, 14])
@pytest.mark.parametrize(("family", "case"), SOME)
def test_encoder_states_in_small_blocks(
    build: Builder, family: FamilyCases, case: Case, bucket: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(blocks.BLOCK, "cpu", 5)
    check_encoder_states(build(family, case), bucket)


@pytest.mark.parametrize(("family", "case"), CASES)
def test_encoder_states(build: Builder, family: FamilyCases, case: Case) -> None:
    check_encoder_states(build(family, case), 12)


def check_encoder_states(built: Built, bucket: int) -> None:
    rows = sequences()
    prompt = prompt_of(rows, bucket)
    states = built.ours.encode(prompt.encoder_tokens, prompt.encoder_lengths)
    for index, row in enumerate(rows):
        assert_close(states[index, : len(row.source)], reference.states(built.oracle, row.source))


@pytest.mark.parametrize(("family", "case"), SOME)
def test_prefill_logits_of_every_position(build: Builder, family: FamilyCases, case: Case) -> None:
    built, rows = build(family, case), sequences()
    logits, _ = built.ours.prefill(prompt_of(rows), max_new_tokens=NEW, logits="all")
    for index, row in enumerate(rows):
        expected = reference.logits(built.oracle, row.source, row.target[:-NEW])
        assert_close(logits[index, -len(expected) :], expected)


@pytest.mark.parametrize(("family", "case"), CASES)
def test_cached_steps(build: Builder, family: FamilyCases, case: Case) -> None:
    built, rows = build(family, case), sequences()
    ours = steps(built.ours, rows, prompt_of(rows))
    for index, row in enumerate(rows):
        expected = reference.cached_logits(built.oracle, row.source, row.target, len(row.target) - NEW)
        assert_close(ours[index], expected)


@pytest.mark.parametrize(("family", "case"), SOME)
def test_extending_by_several_equals_one_by_one(build: Builder, family: FamilyCases, case: Case) -> None:
    built, rows = build(family, case), sequences()
    one_by_one = steps(built.ours, rows, prompt_of(rows))
    _, cache = built.ours.prefill(prompt_of(rows), max_new_tokens=NEW)
    together, _ = built.ours.extend(tf.constant([row.target[-NEW:] for row in rows]), cache.per_row(NEW))
    for index in range(len(rows)):
        assert_close(together[index], one_by_one[index, 1:])


@pytest.mark.parametrize(("family", "case"), SOME)
@pytest.mark.parametrize(
    ("source_bucket", "target_bucket"),
    [(13, 3), pytest.param(20, 4, marks=pytest.mark.full), pytest.param(32, 8, marks=pytest.mark.full)],
)
def test_bucket_does_not_matter(
    build: Builder, family: FamilyCases, case: Case, source_bucket: int, target_bucket: int
) -> None:
    built, rows = build(family, case), sequences()
    ours = steps(built.ours, rows, prompt_of(rows, source_bucket, target_bucket), 1)
    for index, row in enumerate(rows):
        alone = prompt_of([row], len(row.source), len(row.target) - NEW)
        assert_close(ours[index], steps(built.ours, [row], alone, 1)[0])


@pytest.mark.parametrize(("family", "case"), FIRST)
def test_beams_share_what_the_encoder_read(build: Builder, family: FamilyCases, case: Case) -> None:
    built, rows = build(family, case), sequences()
    expected = steps(built.ours, rows, prompt_of(rows), 2)
    _, cache = built.ours.prefill(prompt_of(rows), max_new_tokens=NEW)
    cache = cache.expand(2)
    first = [row.target[len(row.target) - NEW] for row in rows]
    # The prompt's second beam reads something else, then takes over the first.
    _, cache = built.ours.extend(tf.constant([[beam] for id in first for beam in (id, id - 1)]), cache)
    cache = cache.reorder(tf.constant([0, 0, 2, 2, 4, 4, 6, 6]))
    second = tf.constant([[row.target[len(row.target) - NEW + 1]] for row in rows for _ in range(2)])
    logits, _ = built.ours.extend(second, cache)
    for index in range(2 * len(rows)):
        assert_close(logits[index], expected[index // 2, 2:])


@pytest.mark.parametrize(("family", "case"), COMPILED)
def test_compiled_steps(build: Builder, family: FamilyCases, case: Case) -> None:
    built, rows = build(family, case), sequences()
    prompt, fed = prompt_of(rows), tf.constant([row.target[-NEW : -NEW + 1] for row in rows])

    @tf.function(jit_compile=True, autograph=False)
    def run(prompt: Prompt, fed: tf.Tensor) -> tf.Tensor:
        logits, cache = built.ours.prefill(prompt, max_new_tokens=NEW)
        return tf.stack([logits, built.ours.extend(fed, cache)[0][:, 0]], axis=1)

    ours, expected = run(prompt, fed), steps(built.ours, rows, prompt, 1)
    for index in range(len(rows)):
        assert_close(ours[index], expected[index])
