"""Mixtures of experts, part by part: against a loop over tokens, alone and in a batch, compiled and not."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf

from exporter.choices import Target
from exporter.model.mixture import in_blocks, mixture
from exporter.spec import Activation, MlpSpec, MoeSpec, Routing
from exporter.targets import compiled_for
from tests.generation.hlo import trip_counts

HIDDEN, WIDTH, EXPERTS = 8, 6, 5
Floats = npt.NDArray[np.float32]


def moe(top_k: int = 2, routing: Routing = Routing.SOFTMAX_TOP_K) -> MoeSpec:
    expert = MlpSpec(WIDTH, Activation.RELU, gated=True, up_bias=True, down_bias=True)
    return MoeSpec(EXPERTS, top_k, routing, expert, router_bias=True)


@pytest.fixture
def weights() -> dict[str, Floats]:
    rng = np.random.default_rng(0)
    shapes = {
        "moe.router.kernel": (HIDDEN, EXPERTS),
        "moe.router.bias": (EXPERTS,),
        "moe.up.kernel": (EXPERTS, HIDDEN, 2 * WIDTH),
        "moe.up.bias": (EXPERTS, 2 * WIDTH),
        "moe.down.kernel": (EXPERTS, WIDTH, HIDDEN),
        "moe.down.bias": (EXPERTS, HIDDEN),
    }
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def tokens(rows: int = 3, k: int = 4) -> Floats:
    return np.random.default_rng(1).normal(size=(rows, k, HIDDEN)).astype(np.float32)


def one_by_one(x: Floats, weights: dict[str, Floats], spec: MoeSpec) -> Floats:
    """Each token by itself, through its own experts only."""
    flat = x.reshape(-1, HIDDEN)
    output = np.zeros_like(flat)
    for index, token in enumerate(flat):
        logits = token @ weights["moe.router.kernel"] + weights["moe.router.bias"]
        shares = np.exp(logits) / np.exp(logits).sum()
        chosen = np.argsort(-logits)[: spec.top_k]
        total = shares[chosen].sum() if spec.routing is Routing.SOFTMAX_TOP_K else 1.0
        for expert in chosen:
            up = token @ weights["moe.up.kernel"][expert] + weights["moe.up.bias"][expert]
            inner = np.maximum(up[:WIDTH], 0) * up[WIDTH:]
            branch = inner @ weights["moe.down.kernel"][expert] + weights["moe.down.bias"][expert]
            output[index] += shares[expert] / total * branch
    return output.reshape(x.shape)


@cache
def compiled(target: Target, spec: MoeSpec) -> Any:
    """One program for all inputs: compiled once for each of their shapes."""

    def program(x: tf.Tensor, weights: dict[str, tf.Tensor]) -> tf.Tensor:
        with compiled_for(target):
            return mixture(x, weights, spec)

    return tf.function(program, jit_compile=True, autograph=False, reduce_retracing=True)


def constants(weights: dict[str, Floats]) -> dict[str, tf.Tensor]:
    return {name: tf.constant(value) for name, value in weights.items()}


@pytest.fixture(params=["eager", "cpu", "gpu"])
def run(request: pytest.FixtureRequest) -> Callable[..., Floats]:
    def call(x: Floats, weights: dict[str, Floats], spec: MoeSpec) -> Floats:
        if request.param == "eager":
            return np.asarray(mixture(tf.constant(x), constants(weights), spec))
        return np.asarray(compiled(request.param, spec)(tf.constant(x), constants(weights)))

    return call


@pytest.mark.parametrize("routing", Routing)
@pytest.mark.parametrize(("top_k", "k"), [(1, 4), (2, 4), (EXPERTS, 4), (2, 40)])
def test_equals_each_token_through_its_own_experts(
    run: Callable[..., Floats], weights: dict[str, Floats], routing: Routing, top_k: int, k: int
) -> None:
    spec, x = moe(top_k, routing), tokens(k=k)
    np.testing.assert_allclose(run(x, weights, spec), one_by_one(x, weights, spec), rtol=1e-4, atol=1e-5)


def test_a_token_alone_equals_it_in_a_batch(run: Callable[..., Floats], weights: dict[str, Floats]) -> None:
    x = tokens()
    together = run(x, weights, moe())
    for row in range(len(x)):
        alone = run(x[row : row + 1, row : row + 1], weights, moe())
        np.testing.assert_allclose(alone[0, 0], together[row, row], rtol=1e-5, atol=1e-6)


def test_what_overflows_in_an_expert_reaches_only_those_who_chose_it(
    run: Callable[..., Floats], weights: dict[str, Floats]
) -> None:
    x, spec = tokens(), moe()
    expected = one_by_one(x, weights, spec)
    chosen = np.argsort(-(x @ weights["moe.router.kernel"] + weights["moe.router.bias"]), axis=-1)[..., :2]
    expert = chosen[0, 0, 0]
    weights["moe.down.bias"][expert] = np.inf
    reached = ~np.isfinite(run(x, weights, spec)).all(axis=-1)
    np.testing.assert_array_equal(reached, (chosen == expert).any(axis=-1))
    assert 0 < reached.sum() < reached.size
    np.testing.assert_allclose(run(x, weights, spec)[~reached], expected[~reached], rtol=1e-4, atol=1e-5)


def test_equal_router_logits_choose_the_first_experts(
    run: Callable[..., Floats], weights: dict[str, Floats]
) -> None:
    weights["moe.router.kernel"][:] = 0
    weights["moe.router.bias"][:] = [0, 1, 1, 1, 0]
    first = {**weights, "moe.router.bias": np.array([0, 1, 1, 0, 0], np.float32)}
    np.testing.assert_array_equal(run(tokens(), weights, moe()), run(tokens(), first, moe()))


@pytest.mark.parametrize("rows", [1, 3, 200])
def test_a_gpu_knows_the_number_of_passes(weights: dict[str, Floats], rows: int) -> None:
    """As many as blocks can be: a token alone has its own experts' only."""
    program = compiled("gpu", moe())
    inputs = tf.constant(tokens(rows, 1)), constants(weights)
    hlo = program.experimental_get_compiler_ir(*inputs)(stage="optimized_hlo")
    assert trip_counts(hlo) == [{1: 2, 3: 5, 200: 5 + (400 - 5) // 80}[rows]]


@pytest.mark.parametrize(
    "chosen",
    [
        np.zeros([70, 1]),
        np.arange(70)[:, np.newaxis] % 7,
        np.random.default_rng(0).permuted(np.tile(np.arange(7), (70, 1)), axis=1)[:, :3],
        [[6], [0]],
    ],
    ids=["one expert", "all alike", "three each", "two tokens"],
)
def test_every_assignment_has_a_row_of_its_expert(chosen: Any) -> None:
    chosen = np.asarray(chosen, np.int32)
    blocks = in_blocks(tf.constant(chosen), 7)
    rows, place = blocks.token.shape[1], blocks.place.numpy()
    assert len(set(place.flat)) == chosen.size
    np.testing.assert_array_equal(blocks.expert.numpy()[place // rows], chosen)
    token = blocks.token.numpy().reshape(-1)[place]
    np.testing.assert_array_equal(token, np.arange(len(chosen))[:, np.newaxis] + np.zeros_like(chosen))
    assert place.max() // rows < int(blocks.used) <= len(blocks.expert)
