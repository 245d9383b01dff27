"""Every family in bfloat16 and float16 against the reference in the same dtype, on each prompt alone."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf

from exporter.model import Transformer
from tests.families import reference
from tests.families.case import marked
from tests.families.cases import FAMILIES, Case, FamilyCases
from tests.families.conftest import read
from tests.families.half_precision import (
    CLOSENESS,
    DTYPES,
    MARGIN,
    check,
    is_mixture,
    reference_in,
    routed_otherwise,
    ulps,
)
from tests.families.test_parity import BUCKET, LENGTHS, NEW, Builder, greedy, padded, sequences

pytestmark = pytest.mark.parity

#: One of each way to round: norms, rotary embedding, ALiBi, scaled embedding, mixtures.
QUICK = {"llama", "gpt2", "gemma2", "olmo2", "cohere", "bloom", "mixtral", "glm4_moe", "mamba"}
#: In float16 too: layers that borrow keys and values, and embeddings of their own.
QUICK_16 = {"gemma4_text"}
#: Of states alone and without biases: all that is left to differ is the order of sums.
ALIKE, ALIKE_CLOSENESS = {"mamba", "mamba2", "falcon_mamba", "rwkv"}, 0.5
CASES = [
    pytest.param(
        family,
        case,
        dtype,
        id=f"{family.model_type}-{index}-{dtype}",
        marks=marked(index > 0 or family.model_type not in (QUICK if dtype == "bfloat16" else QUICK_16)),
    )
    for family in FAMILIES
    for index, case in enumerate(family.cases)
    for dtype in DTYPES
]
COMPILED = [
    pytest.param(
        family,
        family.cases[0],
        dtype,
        id=f"{family.model_type}-{dtype}",
        marks=[] if (family.model_type, dtype) == ("llama", "bfloat16") else [pytest.mark.full],
    )
    for family in FAMILIES
    for dtype in DTYPES
]


@pytest.mark.parametrize(("family", "case", "dtype"), CASES)
def test_steps_in_half_precision(build: Builder, family: FamilyCases, case: Case, dtype: str) -> None:
    built, half = _built(build, family, case, dtype)
    rows = _chosen(half)
    ours = _followed(read(built.path, DTYPES[dtype]), rows)
    theirs, exact = (
        [reference.cached_logits(model, ids, length) for ids, length in zip(rows, LENGTHS, strict=True)]
        for model in (half, built.oracle)
    )
    read_by = map(np.concatenate, (ours, theirs, exact))
    name, mixture = f"{family.model_type}: {case.touches}", is_mixture(half.config)
    alike = family.model_type in ALIKE and case == family.cases[0]
    check(dtype, *read_by, name, mixture=mixture, closeness=ALIKE_CLOSENESS if alike else CLOSENESS)


def _followed(model: Transformer, rows: list[Any]) -> list[npt.NDArray[np.float32]]:
    """Of each row, float32 [1 + NEW, vocab]: logits of the prompt's last token and of those after it."""
    logits, cache = model.prefill(padded(rows, LENGTHS, BUCKET), max_new_tokens=NEW)
    steps = [logits]
    for step in range(NEW):
        tokens = [[ids[length + step]] for ids, length in zip(rows, LENGTHS, strict=True)]
        logits, cache = model.extend(tf.constant(tokens, tf.int32), cache)
        steps.append(logits[:, 0])
    return [np.stack([step[row] for step in steps]) for row in range(len(rows))]


def _built(build: Builder, family: FamilyCases, case: Case, dtype: str) -> tuple[Any, Any]:
    built = build(family, case)
    return built, reference_in(dtype, family, case, built.path)


def _chosen(half: Any) -> list[Any]:
    """Each row's prompt with the reference's greedy ids."""
    return [
        np.array([*ids[:length], *reference.greedy(half, ids[:length], NEW)], np.int32)
        for ids, length in zip(sequences(), LENGTHS, strict=True)
    ]


@pytest.mark.parametrize(("family", "case", "dtype"), COMPILED)
def test_compiled_greedy_in_half_precision(
    build: Builder, family: FamilyCases, case: Case, dtype: str
) -> None:
    """XLA rounds less often inside what it fuses; up to a row's first difference the rule is the same."""
    built, half = _built(build, family, case, dtype)
    shapes = [tf.TensorSpec([None, None], tf.int32), tf.TensorSpec([None], tf.int32)]
    model = read(built.path, DTYPES[dtype])
    compiled = tf.function(partial(greedy, model), jit_compile=True, autograph=False, input_signature=shapes)
    rows = _chosen(half)
    ours = compiled(*padded(rows, LENGTHS, BUCKET)[:2]).numpy()
    differ = [
        (int(np.argmax(own != ids[length:])), row)
        for row, (own, ids, length) in enumerate(zip(ours, rows, LENGTHS, strict=True))
        if (own != ids[length:]).any()
    ]
    if is_mixture(half.config):
        routed = _routed(half, _followed(model, rows), rows)
        differ = [(step, row) for step, row in differ if not routed[row, step]]
    gaps = [_gap(half, rows[row][: LENGTHS[row] + step], dtype) for step, row in differ]
    print(f"{family.model_type} {dtype}, compiled: {len(differ)} of {len(rows)} rows differ, gaps {gaps}")
    assert max(gaps, default=0.0) <= MARGIN
    assert len(differ) <= len(rows) / 2


def _routed(half: Any, ours: list[npt.NDArray[np.float32]], rows: list[Any]) -> npt.NDArray[np.bool_]:
    """bool [rows, 1 + NEW]: where, uncompiled, another expert is chosen than by the reference."""
    theirs = [reference.cached_logits(half, ids, length) for ids, length in zip(rows, LENGTHS, strict=True)]
    return routed_otherwise(np.concatenate(ours), np.concatenate(theirs)).reshape(len(rows), -1)


def _gap(half: Any, ids: npt.NDArray[np.int32], dtype: str) -> float:
    """Of the two best logits that the reference sees after ``ids``."""
    last = reference.logits(half, ids)[-1:]
    first, second = np.sort(last, axis=-1)[:, :-3:-1].T
    return float(ulps(first - second, last, dtype)[0])
