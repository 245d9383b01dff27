"""Mixtures of heads: against a loop over tokens, in a batch, compiled for either target; what is refused."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf

from exporter.choices import Target
from exporter.errors import UnsupportedError
from exporter.families import read_spec
from exporter.families.int8 import is_int8
from exporter.model.mixed_heads import chosen_heads, project_mixed, read_back
from exporter.model.rotary import Position
from exporter.spec import AttentionSpec, ChoiceSpec, NormKind, NormSpec, RouterSpec
from exporter.targets import compiled_for
from tests.model.toys import CONFIGS, random_model

HIDDEN, EXPERTS, TOP, KEYS, SIZE = 8, 5, 3, 2, 4
WIDTH = KEYS * SIZE
SPEC = AttentionSpec(
    heads=KEYS * TOP,
    kv_heads=KEYS,
    head_dim=SIZE,
    scale=1.0,
    experts=ChoiceSpec(EXPERTS, TOP, RouterSpec(normalise=True)),
)
Floats = npt.NDArray[np.float32]


def weights() -> dict[str, Floats]:
    rng = np.random.default_rng(0)
    shapes = {
        "kv.kernel": (HIDDEN, 2 * WIDTH),
        "moe.router.kernel": (HIDDEN, EXPERTS),
        "moe.q.kernel": (EXPERTS, HIDDEN, WIDTH),
        "moe.out.kernel": (EXPERTS, WIDTH, HIDDEN),
        "moe.bias": (HIDDEN,),
    }
    return {f"attention.{name}": rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def one_by_one(x: Floats, weights: dict[str, Floats]) -> tuple[Floats, Floats]:
    """Queries [rows, k, heads, SIZE], and what the experts make of twice these; a token at a time."""
    queries = np.zeros((*x.shape[:2], KEYS, TOP, SIZE), np.float32)
    output = np.zeros_like(x)
    for place in np.ndindex(*x.shape[:2]):
        logits = x[place] @ weights["attention.moe.router.kernel"]
        chosen = np.argsort(-logits)[:TOP]
        shares = np.exp(logits[chosen]) / np.exp(logits[chosen]).sum()
        for index, (expert, share) in enumerate(zip(chosen, shares, strict=True)):
            query = x[place] @ weights["attention.moe.q.kernel"][expert]
            queries[place][:, index] = query.reshape(KEYS, SIZE)
            output[place] += share * (2 * query) @ weights["attention.moe.out.kernel"][expert]
    return queries.reshape(*x.shape[:2], -1, SIZE), output + weights["attention.moe.bias"]


@cache
def compiled(target: Target) -> Any:
    def program(x: tf.Tensor, weights: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        with compiled_for(target):
            return computed(x, weights)

    return tf.function(program, jit_compile=True, autograph=False, reduce_retracing=True)


def computed(x: tf.Tensor, weights: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
    heads = chosen_heads(x, weights, SPEC)
    assert heads is not None
    query, _, _ = project_mixed(heads, x, weights, SPEC, Position(None, None, None))
    context = tf.reshape(2 * query, tf.concat([tf.shape(x)[:2], [SPEC.heads * SIZE]], axis=0))
    return query, read_back(heads, context, weights, SPEC)


@pytest.mark.parametrize("shape", [(3, 4), (1, 1), (2, 40)], ids=str)
@pytest.mark.parametrize("way", ["eager", "cpu", "gpu"])
def test_each_token_through_its_own_experts(way: Any, shape: tuple[int, int]) -> None:
    x = np.random.default_rng(1).normal(size=(*shape, HIDDEN)).astype(np.float32)
    given = {name: tf.constant(value) for name, value in weights().items()}
    ours = (computed if way == "eager" else compiled(way))(tf.constant(x), given)
    for own, expected in zip(ours, one_by_one(x, weights()), strict=True):
        np.testing.assert_allclose(own, expected, atol=1e-4)


def test_the_cache_holds_keys_and_values_of_no_expert() -> None:
    spec = read_spec({**CONFIGS["mixed heads"], "num_experts_per_tok": 4})
    (attention, _) = spec.decoder.attentions
    assert attention.heads == 4 * attention.kv_heads
    assert attention.cached_numbers == 2 * attention.kv_heads * attention.head_dim


def test_a_router_of_heads_stays_as_it_is_in_int8() -> None:
    names = [name for name in random_model(CONFIGS["mixed heads"]).weights if "attention.moe" in name]
    kept = {name.partition("attention.")[2] for name in names if not is_int8(name, tables=True)}
    assert kept == {"moe.router.kernel", "moe.bias"}


@pytest.mark.parametrize(
    "changes",
    [{"sinks": True}, {"qkv_bias": True}, {"gated": True}, {"qk_norm": NormSpec(NormKind.RMS, 1e-6)}],
    ids=str,
)
def test_parts_that_would_be_left_out_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedError, match=f"a mixture of heads with {min(changes)}="):
        replace(SPEC, **changes)
