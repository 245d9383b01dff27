"""Attention in blocks: which pairs are computed, what XLA makes of them, and that size does not matter."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from exporter.generation.step import Prompt
from exporter.model import Transformer, blocks
from exporter.model.blocks import Pairs, Span
from exporter.targets import compiled_for
from tests.generation.hlo import trip_counts
from tests.model.toys import CONFIGS, prompt_of, random_model

SIZE, BUCKET = 8, 53
BLOCKS = -(-BUCKET // SIZE)
PROMPTS = [list(range(1, 50)), [7, 8]]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of a few columns, so that a short prompt has many."""
    for target in ("cpu", "gpu"):
        monkeypatch.setitem(blocks.BLOCK, target, SIZE)


def program(model: Transformer) -> Any:
    """Compiled prefill for the GPU; returns logits of the last token, and keys and values."""
    open_shapes = [tf.TensorSpec([None, None], tf.int32), tf.TensorSpec([None], tf.int32)]

    def read(tokens: tf.Tensor, lengths: tf.Tensor) -> Any:
        logits, cache = model.prefill(Prompt(tokens, lengths), max_new_tokens=1)
        return logits, cache.prompts

    with compiled_for("gpu"):
        compiled = tf.function(read, jit_compile=True, autograph=False, input_signature=open_shapes)
        compiled.get_concrete_function()
    return compiled


def optimised(model: Transformer) -> str:
    prompt = prompt_of(PROMPTS, BUCKET)
    compiled = program(model)
    return str(compiled.experimental_get_compiler_ir(prompt.tokens, prompt.lengths)(stage="optimized_hlo"))


def squares(hlo: str) -> set[str]:
    """Shapes in which the bucket's length, padded or not, stands twice."""
    lengths = {str(BUCKET), str(BLOCKS * SIZE)}
    shapes = re.findall(r"\w+\[([\d,]+)\]", hlo)
    return {shape for shape in shapes if sum(size in lengths for size in shape.split(",")) > 1}


@pytest.mark.parametrize(
    ("name", "passes"),
    [("alternating windows", [2 * BLOCKS - 1]), ("alibi", [BLOCKS * (BLOCKS + 1) // 2])],
)
def test_no_scores_of_all_queries_and_keys(name: str, passes: list[int], small: None) -> None:
    """Of two layers the last one reads for the last token alone: no loop."""
    hlo = optimised(random_model(CONFIGS[name]))
    assert squares(hlo) == set()
    assert trip_counts(hlo) == passes


def test_one_block_needs_no_loop() -> None:
    """What the test above looks for is there when a prompt is one block."""
    hlo = optimised(random_model(CONFIGS["rotary"]))
    assert squares(hlo) != set()
    assert trip_counts(hlo) == []


def test_compiled_blocks_equal_one_block(monkeypatch: pytest.MonkeyPatch) -> None:
    model, prompt = random_model(CONFIGS["alternating windows"]), prompt_of(PROMPTS, BUCKET)
    expected, _ = model.prefill(prompt, max_new_tokens=1)
    monkeypatch.setitem(blocks.BLOCK, "gpu", SIZE)
    got, _ = program(model)(prompt.tokens, prompt.lengths)
    np.testing.assert_allclose(got, expected, atol=2e-5 * np.ptp(expected))


@pytest.mark.parametrize("count", [1, 2, 7])
@pytest.mark.parametrize(
    ("behind", "ahead"), [(None, 0), (0, 0), (1, 0), (8, 0), (9, 0), (500, 0), (3, 3), (17, 17), (500, 500)]
)
def test_pairs_are_those_that_see_each_other(count: int, behind: int | None, ahead: int) -> None:
    column = np.arange(count * SIZE)
    distance = column[:, np.newaxis] - column
    seen = (distance >= -ahead) & (distance <= (len(column) if behind is None else behind))
    seen = seen.reshape(count, SIZE, count, SIZE).any(axis=(1, 3))
    assert walked(Pairs.of(span(behind, ahead), *map(tf.constant, (count, count, SIZE)))) == list(
        zip(*map(np.ndarray.tolist, np.nonzero(seen)), strict=True)
    )


def test_pairs_of_a_span_that_all_see() -> None:
    pairs = Pairs.of(span(None, None), *map(tf.constant, (2, 3, SIZE)))
    assert walked(pairs) == [(i, j) for i in range(2) for j in range(3)]


def span(behind: int | None, ahead: int | None) -> Span:
    nothing = tf.zeros([1, 1, 1])
    return Span(nothing, nothing, lambda query, key: None, behind, ahead)  # type: ignore[arg-type, return-value]


def walked(pairs: Pairs) -> list[tuple[int, int]]:
    found, place = [], (tf.constant(0), tf.constant(0))
    for _ in range(int(pairs.count)):
        found.append((int(place[0]), int(place[1])))
        place = pairs.after(*place)
    return found
