"""Weights in int8: the numbers, and models of them against models of what they stand for."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf

from exporter.checkpoint import Checkpoint
from exporter.families import load_weights, read_spec
from exporter.families.int8 import Int8Weights, is_int8, quantise, scale_name
from exporter.generation.step import Prompt
from exporter.model import build_model
from exporter.model.layers import int8_product
from exporter.targets import compiled_for
from tests.families.cases import BY_TYPE
from tests.families.test_parity import BUCKET, LENGTHS, NEW, Builder, padded, sequences

#: Plain and tied tables, biases, fused projections, experts apart and joined, narrow embeddings, latents;
#: states, alone and beside attention; borrowed keys and values, embeddings of layers; a router's corrections;
#: a residual stream of several parts.
FAMILIES = [
    *("llama", "gpt2", "mixtral", "gpt_oss", "opt", "deepseek_v3"),
    *("qwen3_5_text", "falcon_h1", "gemma4_text", "glm4_moe"),
    pytest.param("gemma3n", marks=pytest.mark.full),
]


def dequantise(array: np.ndarray, scale: np.ndarray, axis: int = -2) -> np.ndarray:
    """What the format says that an int8 weight stands for: 128 steps are one scale of its output channel."""
    return array.astype(np.float32) / np.float32(128) * np.expand_dims(scale, axis)


def test_every_channel_is_off_by_half_a_step_at_most() -> None:
    array = np.random.default_rng(0).standard_normal((3, 40, 7)).astype(np.float32)
    array[1, :, 2] = 0.0
    stored, scale = quantise(array)
    assert stored.dtype == np.int8
    assert scale.shape == (3, 7)
    assert np.abs(stored).max() == 127  # the largest of a channel is kept as it is
    most = np.abs(array).max(axis=1, keepdims=True)
    error = np.abs(dequantise(stored, scale) - array)
    assert (error <= most / 254 * (1 + 1e-5)).all()
    assert error.max() > most.max() / 300


def _int8(built: Any, tables: bool, dtype: npt.DTypeLike = np.float32) -> tuple[Any, Any, Int8Weights]:
    checkpoint = Checkpoint(built.path)
    spec = read_spec(checkpoint.config)
    weights = load_weights(spec, checkpoint, dtype)
    return spec, weights, Int8Weights(weights, tables=tables)


def _meant(weights: Any, stored: Int8Weights) -> dict[str, Any]:
    """The weights that the stored ones stand for."""
    result = {}
    for name in weights:
        scale = stored.get(scale_name(name))
        by_row = scale is not None and scale.shape == stored[name].shape[:1] != stored[name].shape[1:]
        result[name] = (
            weights[name] if scale is None else dequantise(stored[name], scale, -1 if by_row else -2)
        )
    return result


def _steps(model: Any, rows: Any) -> Any:
    logits, cache = model.prefill(padded(rows, LENGTHS, BUCKET), max_new_tokens=NEW, logits="all")
    tokens = tf.constant([[ids[length]] for ids, length in zip(rows, LENGTHS, strict=True)], tf.int32)
    return np.concatenate([logits, model.extend(tokens, cache)[0]], axis=1)


@pytest.mark.parametrize("tables", [False, True])
@pytest.mark.parametrize("model_type", FAMILIES)
def test_a_model_in_int8_is_the_model_of_its_weights(build: Builder, model_type: str, tables: bool) -> None:
    family = BY_TYPE[model_type]
    spec, weights, stored = _int8(build(family, family.cases[0]), tables)
    ours = _steps(build_model(spec, stored), sequences())
    meant = _steps(build_model(spec, _meant(weights, stored)), sequences())
    np.testing.assert_allclose(ours, meant, atol=1e-5 * np.ptp(meant))
    in_int8 = {name for name in stored if stored[name].dtype == np.int8}
    assert in_int8 == {name for name in weights if is_int8(name, tables=tables)}


@pytest.mark.parametrize(
    ("rows", "target"), [(1, "cpu"), (3, "cpu"), pytest.param(1, "gpu", marks=pytest.mark.full)]
)
def test_compiled_steps_of_either_target(build: Builder, rows: int, target: Any) -> None:
    family = BY_TYPE["llama"]
    spec, weights, stored = _int8(build(family, family.cases[0]), True)
    tokens = tf.constant(np.stack([sequences()[0][:4]] * rows))
    prompt = Prompt(tokens, tf.constant([4] * rows))

    def step(model: Any) -> Any:
        @tf.function(jit_compile=True, autograph=False)
        def run(tokens: tf.Tensor) -> tf.Tensor:
            _, cache = model.prefill(prompt, max_new_tokens=NEW)
            return model.extend(tokens, cache)[0]

        with compiled_for(target):
            return run(tokens[:, :1]).numpy()

    ours, meant = step(build_model(spec, stored)), step(build_model(spec, _meant(weights, stored)))
    np.testing.assert_allclose(ours, meant, atol=1e-5 * np.ptp(meant))


@pytest.mark.parametrize("target", ["cpu", "gpu"])
def test_only_a_cpu_converts_matrices_before_a_loop(target: Any) -> None:
    """XLA moves what every step does out of a loop: on a GPU that would take the memory of float32."""
    kernel, scale = tf.Variable(np.ones([24, 40], np.int8)), tf.Variable(np.ones(40, np.float32))

    @tf.function(jit_compile=True, autograph=False)
    def run(x: tf.Tensor) -> tf.Tensor:
        def step(index: tf.Tensor, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return index + 1, int8_product(x, kernel, scale, step=True)[:, :24]

        return tf.while_loop(lambda index, _: index < 5, step, (0, x))[1]

    with compiled_for(target):
        text = run.experimental_get_compiler_ir(tf.zeros([1, 24]))(stage="optimized_hlo")
    entry = text[text.index("ENTRY") :]
    assert ("f32[24,40]" in entry) == (target == "cpu")


def test_half_precision_models_keep_float32_scales(build: Builder) -> None:
    family = BY_TYPE["olmo"]  # its norms have no weights: with tables nothing is left in bfloat16
    spec, _, stored = _int8(build(family, family.cases[0]), True, ml_dtypes.bfloat16)
    model = build_model(spec, stored, ml_dtypes.bfloat16)
    assert {variable.dtype for variable in model.weights.values()} == {tf.int8, tf.float32}
    cache = model.prefill(padded(sequences(), LENGTHS, BUCKET), max_new_tokens=NEW)[1]
    assert cache.state.keys[0].dtype == tf.bfloat16
