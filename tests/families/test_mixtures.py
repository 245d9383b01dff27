"""Mixtures of experts, part by part: against a loop over tokens, alone and in a batch, compiled and not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf
import torch
from transformers.models.lfm2_moe.configuration_lfm2_moe import Lfm2MoeConfig
from transformers.models.lfm2_moe.modeling_lfm2_moe import Lfm2MoeTopKRouter
from transformers.models.phimoe.modeling_phimoe import sparsemixer

from exporter.choices import Target
from exporter.model.mixture import in_blocks, mixture
from exporter.model.routing import routed
from exporter.spec import Activation, MlpSpec, MoeSpec, RouterSpec, Score
from exporter.targets import compiled_for
from tests.generation.hlo import trip_counts

HIDDEN, WIDTH, EXPERTS = 8, 6, 5
Floats = npt.NDArray[np.float32]

NORMALISED = RouterSpec(bias=True, normalise=True)
ROUTERS = {
    "softmax": RouterSpec(bias=True),
    "normalised": NORMALISED,
    "sigmoid": RouterSpec(Score.SIGMOID, bias=True, correction=True, normalise=True, added=0.1, scale=2.5),
    "on input": RouterSpec(Score.SIGMOID, bias=True, on_input=True),
    "at least": RouterSpec(bias=True, correction=True, normalise=True, least=0.9),
}


def moe(top_k: int = 2, router: RouterSpec = NORMALISED) -> MoeSpec:
    expert = MlpSpec(WIDTH, Activation.RELU, gated=True, up_bias=True, down_bias=True)
    return MoeSpec(EXPERTS, top_k, router, expert)


@pytest.fixture
def weights() -> dict[str, Floats]:
    rng = np.random.default_rng(0)
    shapes = {
        "moe.router.kernel": (HIDDEN, EXPERTS),
        "moe.router.bias": (EXPERTS,),
        "moe.router.correction": (EXPERTS,),
        "moe.up.kernel": (EXPERTS, HIDDEN, 2 * WIDTH),
        "moe.up.bias": (EXPERTS, 2 * WIDTH),
        "moe.down.kernel": (EXPERTS, WIDTH, HIDDEN),
        "moe.down.bias": (EXPERTS, HIDDEN),
    }
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def tokens(rows: int = 3, k: int = 4) -> Floats:
    return np.random.default_rng(1).normal(size=(rows, k, HIDDEN)).astype(np.float32)


def weighed(token: Floats, weights: dict[str, Floats], spec: MoeSpec) -> dict[int, float]:
    """A token's experts and what each weighs."""
    router = spec.router
    logits = token @ weights["moe.router.kernel"] + weights["moe.router.bias"]
    if router.score is Score.SIGMOID:
        scores = 1 / (1 + np.exp(-logits))
    else:
        scores = np.exp(logits) / np.exp(logits).sum()
    correction = weights["moe.router.correction"] if router.correction else 0.0
    chosen = np.argsort(-(scores + correction))[: spec.top_k]
    total = max(scores[chosen].sum() + router.added, router.least) if router.normalise else 1.0
    return {expert: scores[expert] / total * router.scale for expert in chosen.tolist()}


def one_by_one(x: Floats, weights: dict[str, Floats], spec: MoeSpec) -> Floats:
    """Each token by itself, through its own experts only."""
    flat = x.reshape(-1, HIDDEN)
    output = np.zeros_like(flat)
    for index, token in enumerate(flat):
        for expert, share in weighed(token, weights, spec).items():
            read = token * share if spec.router.on_input else token
            up = read @ weights["moe.up.kernel"][expert] + weights["moe.up.bias"][expert]
            inner = np.maximum(up[:WIDTH], 0) * up[WIDTH:]
            branch = inner @ weights["moe.down.kernel"][expert] + weights["moe.down.bias"][expert]
            output[index] += branch if spec.router.on_input else share * branch
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


@pytest.mark.parametrize(
    ("router", "top_k", "k"),
    [
        *(("normalised", *sizes) for sizes in [(1, 4), (EXPERTS, 4), (2, 40)]),
        *((router, 2, 4) for router in ROUTERS),
    ],
)
def test_equals_each_token_through_its_own_experts(
    run: Callable[..., Floats], weights: dict[str, Floats], router: str, top_k: int, k: int
) -> None:
    spec, x = moe(top_k, ROUTERS[router]), tokens(k=k)
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


def test_only_the_best_groups_are_chosen(run: Callable[..., Floats]) -> None:
    """Two of three groups of two experts; the best expert of all stands in the group that is left out."""
    router = RouterSpec(Score.SIGMOID, correction=True, groups=3, chosen_groups=2)
    spec = MoeSpec(6, 2, router, MlpSpec(1, Activation.LINEAR))
    weights = {
        "moe.router.kernel": np.zeros((1, 6), np.float32),
        "moe.router.correction": np.array([9, -8, 3, 2, 1, 5], np.float32),  # groups of 1, 5 and 6
        "moe.up.kernel": np.ones((6, 1, 1), np.float32),
        "moe.down.kernel": 10.0 ** np.arange(6, dtype=np.float32)[:, np.newaxis, np.newaxis],
    }
    read = run(np.ones((1, 1, 1), np.float32), weights, spec)
    assert read.item() == pytest.approx(0.5 * (10**2 + 10**5))  # of the corrections 3 and 5
    alone = replace(spec, router=replace(router, group_best=1))  # groups of 9, 3 and 5
    assert run(np.ones((1, 1, 1), np.float32), weights, alone).item() == pytest.approx(0.5 * (1 + 10**5))


@pytest.mark.parametrize("tolerance", [0.01, 0.3])
def test_sparsemixer_is_the_reference_s(tolerance: float) -> None:
    logits = np.random.default_rng(3).normal(size=(64, EXPERTS)).astype(np.float32)
    logits[0] = -np.abs(logits[0])  # all below zero
    router = RouterSpec(Score.SPARSEMIXER, tolerance=tolerance)
    spec = MoeSpec(EXPERTS, 2, router, MlpSpec(WIDTH, Activation.LINEAR))
    identity = {"moe.router.kernel": tf.eye(EXPERTS)}
    shares, chosen = routed(tf.constant(logits), identity, spec)
    expected = sparsemixer(torch.tensor(logits), jitter_eps=tolerance, training=False)
    np.testing.assert_allclose(shares.numpy(), expected[0].numpy(), rtol=1e-5)
    np.testing.assert_array_equal(chosen.numpy(), expected[1].numpy())


@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_rounded_scores_are_the_reference_s(dtype: str, normalise: bool) -> None:
    config = Lfm2MoeConfig(
        hidden_size=EXPERTS,
        num_experts=EXPERTS,
        num_experts_per_tok=2,
        norm_topk_prob=normalise,
        routed_scaling_factor=1.7,
    )
    theirs = Lfm2MoeTopKRouter(config).to(getattr(torch, dtype))
    theirs.weight.data = torch.eye(EXPERTS, dtype=theirs.weight.dtype)
    x = torch.randn((256, EXPERTS), generator=torch.Generator().manual_seed(0)).to(theirs.weight.dtype)
    correction = torch.arange(EXPERTS) / 7
    _, expected, experts = theirs(x, correction)
    router = RouterSpec(
        Score.SIGMOID, correction=True, normalise=normalise, added=1e-6, scale=1.7, rounded=True
    )
    weights = {
        "moe.router.kernel": tf.eye(EXPERTS, dtype=dtype),
        "moe.router.correction": tf.constant(correction.numpy()),
    }
    spec = MoeSpec(EXPERTS, 2, router, MlpSpec(WIDTH, Activation.LINEAR))
    shares, chosen = routed(tf.cast(x.float().numpy(), dtype), weights, spec)
    np.testing.assert_array_equal(chosen.numpy(), experts.numpy())
    np.testing.assert_array_equal(shares.numpy(), expected.detach().float().numpy())
