"""Mixtures of experts, part by part: against a loop over tokens, alone and in a batch, compiled and not."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf

from exporter.model.layers import mixture
from exporter.spec import Activation, MlpSpec, MoeSpec, Routing

HIDDEN, WIDTH, EXPERTS = 8, 6, 5
Floats = npt.NDArray[np.float32]
Mixture = Callable[[Any], Any]


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


@pytest.fixture(params=["eager", "compiled"])
def run(request: pytest.FixtureRequest) -> Callable[..., Floats]:
    def call(x: Floats, weights: dict[str, Floats], spec: MoeSpec) -> Floats:
        constants = {name: tf.constant(value) for name, value in weights.items()}
        function: Mixture = partial(mixture, weights=constants, spec=spec)
        if request.param == "compiled":
            function = tf.function(function, jit_compile=True, autograph=False)
        return np.asarray(function(tf.constant(x)))

    return call


@pytest.mark.parametrize("routing", Routing)
@pytest.mark.parametrize("top_k", [1, 2, EXPERTS])
def test_equals_each_token_through_its_own_experts(
    run: Callable[..., Floats], weights: dict[str, Floats], routing: Routing, top_k: int
) -> None:
    spec, x = moe(top_k, routing), tokens()
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
