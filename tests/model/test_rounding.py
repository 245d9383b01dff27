"""Where half-precision models round, to the last bit: parts of the reference run on the same numbers."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import torch
from transformers.models.bloom.modeling_bloom import build_alibi_tensor
from transformers.models.cohere import modeling_cohere
from transformers.models.falcon import modeling_falcon
from transformers.models.gemma.modeling_gemma import GemmaRMSNorm
from transformers.models.gemma2 import modeling_gemma2
from transformers.models.gpt_oss import modeling_gpt_oss
from transformers.models.llama import modeling_llama
from transformers.models.mamba import modeling_mamba
from transformers.models.mamba2 import modeling_mamba2
from transformers.models.olmo2 import modeling_olmo2
from transformers.models.t5.modeling_t5 import T5LayerNorm

from exporter.families.alibi import interleaved_slopes
from exporter.model.attention import Bias, Segment, attend
from exporter.model.bias import Sight, past_bias
from exporter.model.blocks import Span, attend_in_blocks
from exporter.model.layers import activate, linear, norm, rounded, times
from exporter.model.mamba import _gated as mamba_gated
from exporter.model.mamba import _step as mamba_step
from exporter.model.mamba2 import _step as mamba2_step
from exporter.model.mamba2 import _time_steps
from exporter.model.mixture import _shared_gate
from exporter.model.rotary import rotate
from exporter.spec import (
    Activation,
    AlibiSpec,
    AttentionSpec,
    Mamba2Spec,
    MambaSpec,
    MlpSpec,
    NormKind,
    NormSpec,
    RopeLayout,
    RotaryRounding,
    RotarySpec,
)

HALF = pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
LLAMA = NormSpec(NormKind.RMS, 1e-6, round_first=True)
LATER = NormSpec(NormKind.RMS, 1e-6)
GEMMA = NormSpec(NormKind.RMS, 1e-6, offset=1.0)
COHERE = NormSpec(NormKind.LAYER, 1e-6)


def _random(shape: tuple[int, ...], dtype: str, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(getattr(torch, dtype))


def _ours(x: torch.Tensor) -> tf.Tensor:
    return tf.cast(x.float().numpy(), str(x.dtype).removeprefix("torch."))


def _equal(ours: tf.Tensor, theirs: torch.Tensor) -> None:
    assert ours.dtype.name == str(theirs.dtype).removeprefix("torch.")
    np.testing.assert_array_equal(tf.cast(ours, tf.float32), theirs.detach().float().numpy())


@HALF
@pytest.mark.parametrize(
    ("spec", "module"),
    [
        (LLAMA, modeling_llama.LlamaRMSNorm),
        (LLAMA, T5LayerNorm),
        (LATER, modeling_olmo2.Olmo2RMSNorm),
        (GEMMA, GemmaRMSNorm),
        (COHERE, modeling_cohere.CohereLayerNorm),
    ],
)
def test_norms_round_where_the_reference_does(spec: NormSpec, module: Any, dtype: str) -> None:
    theirs = module(48, eps=1e-6).to(getattr(torch, dtype))
    theirs.weight.data = 1 + 0.2 * _random((48,), dtype, 1)
    x = 3 * _random((64, 48), dtype)
    ours = norm(_ours(x), {"n.scale": _ours(theirs.weight.data)}, "n", spec)
    matched = (np.asarray(tf.cast(ours, tf.float32)) == theirs(x).detach().float().numpy()).mean()
    assert matched > 0.998  # float32's own sum may fall on the other side of a rounding border


@HALF
@pytest.mark.parametrize(
    ("rounding", "layout", "module"),
    [
        (RotaryRounding.EACH, RopeLayout.HALVES, modeling_llama),
        (RotaryRounding.SUM, RopeLayout.HALVES, modeling_olmo2),
        (RotaryRounding.ANGLES, RopeLayout.INTERLEAVED, modeling_cohere),
    ],
)
def test_turning_rounds_where_the_reference_does(
    rounding: RotaryRounding, layout: RopeLayout, module: Any, dtype: str
) -> None:
    query = _random((1, 9, 2, 8), dtype)
    angle = torch.arange(9)[:, None] * torch.tensor([1.0, 0.3, 0.1, 0.03])
    cosine, sine = angle.cos()[None], angle.sin()[None]
    spread = (
        (lambda x: x.repeat_interleave(2, -1))
        if layout is RopeLayout.INTERLEAVED
        else (lambda x: torch.cat([x, x], -1))
    )
    given = torch.float32 if rounding is RotaryRounding.SUM else query.dtype
    both = [spread(part).to(given) for part in (cosine, sine)]
    theirs, _ = module.apply_rotary_pos_emb(query.transpose(1, 2), query.transpose(1, 2), *both)
    spec = RotarySpec(8, 10000.0, layout=layout, rounding=rounding)
    _equal(rotate(_ours(query), _ours(cosine), _ours(sine), spec), theirs.transpose(1, 2))


@HALF
def test_blooms_distances_are_rounded(dtype: str) -> None:
    """From position 257 on bfloat16 cannot hold every multiple of a slope."""
    spec = AlibiSpec(interleaved_slopes(6), rounded=dtype)
    length = 400
    size = tf.constant(length)
    ours = past_bias(Sight(None, spec), tf.constant([length]), size, size, tf.constant([[length]])).mask[
        0, :, 0
    ]
    theirs = build_alibi_tensor(torch.ones(1, length), 6, getattr(torch, dtype))[:, 0]
    np.testing.assert_array_equal(ours, theirs.float().numpy())


@HALF
def test_factors_are_not_rounded(dtype: str) -> None:
    x = _random((1000,), dtype)
    _equal(times(_ours(x), 0.2203), x * 0.2203)


# Uncompiled, TensorFlow joins a product and what is added behind it.
@HALF
@pytest.mark.parametrize(("compiled", "apart"), [(False, False), (True, False), (True, True)])
@pytest.mark.parametrize("rows", [1, 8])
def test_products_and_biases_round_where_the_reference_s_do(
    dtype: str, compiled: bool, rows: int, apart: bool
) -> None:
    """But for sums of another order: whoever rounds once instead of twice differs in a quarter of all."""
    x, kernel, bias = _random((rows, 1, 512), dtype), _random((768, 512), dtype, 1), _random((768,), dtype, 2)
    layer = modeling_falcon.FalconLinear(512, 768) if apart else torch.nn.Linear(512, 768)
    layer.load_state_dict({"weight": kernel, "bias": 20 * bias})
    theirs = layer.to(getattr(torch, dtype))(x)
    weights = {"a.kernel": tf.transpose(_ours(kernel)), "a.bias": _ours(20 * bias)}
    run = tf.function(partial(linear, name="a", bias_apart=apart), jit_compile=compiled, autograph=False)
    ours = run(_ours(x), weights)
    assert ours.dtype.name == dtype
    assert np.mean(tf.cast(ours, tf.float32) != theirs.detach().float().numpy()) < 0.01


@HALF
def test_compiled_code_rounds_what_is_rounded(dtype: str) -> None:
    """By an operation of its own, as XLA may leave out conversions; numbers of every size."""
    size = np.finfo(np.float32).tiny if dtype == "bfloat16" else 1e-9
    x = tf.constant(np.geomspace(size, 6e4, 4000, dtype=np.float32) * np.tile([1, -1], 2000), tf.float32)

    @tf.function(jit_compile=True, autograph=False)
    def compiled(x: tf.Tensor) -> tf.Tensor:
        return rounded(x * 1.0003, tf.as_dtype(dtype))

    theirs = (torch.tensor(x.numpy()) * 1.0003).to(getattr(torch, dtype)).float()
    np.testing.assert_array_equal(compiled(x), theirs.numpy())
    assert " reduce-precision(" in compiled.experimental_get_compiler_ir(x)(stage="optimized_hlo")


@HALF
@pytest.mark.parametrize("compiled", [False, True])
def test_capped_scores_round_where_gemma_2_s_do(dtype: str, compiled: bool) -> None:
    """Between 32 and 64 bfloat16 holds every fourth of 1: a weight is off by an eighth where it is missed."""
    heads, size, length, cap, scale = 2, 16, 12, 50.0, 144**-0.5
    query, key = (8 * _random((1, heads, length, size), dtype, seed) for seed in range(2))
    module = SimpleNamespace(num_key_value_groups=1, training=False)
    _, theirs = modeling_gemma2.eager_attention_forward(
        module, query, key, key, None, scaling=scale, softcap=cap
    )
    spec = AttentionSpec(heads, heads, size, scale, softcap=cap)
    one = tf.tile(tf.eye(length, dtype=dtype)[tf.newaxis], [heads, 1, 1])  # each key's value is itself

    def ours(query: tf.Tensor, keys: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        none = Bias(tf.zeros([1, 1, 1, length]))
        whole = attend(query, [(Segment(keys, one, none), 1)], spec, {})
        return whole, attend_in_blocks(query, [Span(keys, one, lambda *_: none)], spec, {})

    run = tf.function(ours, jit_compile=True, autograph=False) if compiled else ours
    found = run(tf.transpose(_ours(query), [0, 2, 1, 3]), _ours(key)[0])
    expected = theirs.transpose(1, 2).reshape(1, length, heads * length)
    _mostly_equal(found[0], expected)
    np.testing.assert_allclose(tf.cast(found[1], tf.float32), expected.float(), rtol=0.02, atol=1e-4)


@HALF
def test_gpt_oss_s_gate_rounds_where_the_reference_does(dtype: str) -> None:
    x, constants = 3 * _random((50, 80), dtype), SimpleNamespace(alpha=1.702, limit=7.0)
    theirs = modeling_gpt_oss.GptOssExperts._apply_gate(constants, x)  # which takes every second column
    ours = activate(
        _ours(torch.cat([x[:, ::2], x[:, 1::2]], -1)), MlpSpec(40, Activation.GPT_OSS, gated=True)
    )
    _mostly_equal(ours, theirs)


@HALF
def test_a_shared_experts_gate_is_rounded_once(dtype: str) -> None:
    x = 4 * _random((1, 500, 1), dtype)
    kernel = {"moe.shared_gate.kernel": tf.ones([1, 1], dtype)}
    _mostly_equal(_shared_gate(_ours(x), kernel), torch.sigmoid(x))


@HALF
@pytest.mark.parametrize("limit", [0.4, 0.6])
def test_time_steps_are_limited_by_what_the_dtype_holds(limit: float, dtype: str) -> None:
    x, bias = _random((5, 7, 8), dtype), _random((8,), dtype, 1)
    theirs = torch.clamp(torch.nn.functional.softplus(x + bias), limit, float("inf"))
    spec = Mamba2Spec(8, 6, 2, 5, 4, Activation.SILU, limits=(limit, float("inf")))
    ours = _time_steps(_ours(x), {"state.dt_bias": _ours(bias)}, spec, prompt=True)
    assert (theirs.float() == torch.tensor(limit, dtype=theirs.dtype).float()).any()
    _equal(ours, theirs)


def _mostly_equal(ours: tf.Tensor, theirs: torch.Tensor) -> None:
    """Sums in another order round otherwise here and there."""
    assert ours.dtype.name == str(theirs.dtype).removeprefix("torch.")
    same = np.asarray(tf.cast(ours, tf.float32)) == theirs.float().numpy()
    assert same.mean() >= 0.99


@HALF
def test_a_token_alone_rounds_where_mamba_s_does(dtype: str) -> None:
    rows, channels, states = 6, 40, 5
    x, z, step = (_random((rows, channels), dtype, seed) for seed in range(3))
    before, behind = (_random((rows, states), dtype, seed) for seed in (3, 4))
    memory = _random((rows, channels, states), "float32", 5)
    rate, skip = -_random((channels, states), "float32", 6).exp(), _random((channels,), dtype, 7)
    step = step.abs()
    kept, inner, gate = _ours(memory.transpose(1, 2)), _ours(x)[:, tf.newaxis], _ours(z)[:, tf.newaxis]
    theirs = modeling_mamba.mamba_selective_state_update(memory, x, step, rate, before, behind, skip, z=z)
    wide = [tf.cast(_ours(part), tf.float32)[:, tf.newaxis] for part in (step, before, behind)]
    added = wide[0] * tf.cast(inner, tf.float32)
    read, after = mamba_step(_ours(rate.T), inner.dtype, kept, wide[0], added, *wide[1:])
    spec = MambaSpec(channels, states, 2, 4, Activation.SILU)
    read = tf.cast(read, inner.dtype)
    ours = mamba_gated(read, inner, gate, {"state.skip": _ours(skip)}, spec, inner.dtype)
    _mostly_equal(ours[:, 0], theirs)
    np.testing.assert_allclose(after, memory.transpose(1, 2).numpy(), rtol=1e-5, atol=1e-6)


@HALF
def test_a_token_alone_rounds_where_mamba_2_s_does(dtype: str) -> None:
    rows, heads, size, groups, states = 6, 8, 6, 2, 5
    x, step = _random((rows, heads, size), dtype), _random((rows, heads), dtype, 1).abs()
    before, behind = (_random((rows, groups, states), dtype, seed) for seed in (2, 3))
    memory, rate = _random((rows, heads, size, states), "float32", 4), -_random((heads,), "float32", 5).exp()
    kept = _ours(memory.transpose(2, 3))
    theirs = modeling_mamba2.mamba2_selective_state_update(
        memory,
        x,
        step[..., None].expand(-1, -1, size),
        rate[:, None, None].expand(-1, size, states),
        before,
        behind,
    )
    parts = [_ours(part)[:, tf.newaxis] for part in (step, x, before, behind)]
    ours, after = mamba2_step(kept, _ours(rate), *parts)
    _mostly_equal(ours[:, 0], theirs)
    np.testing.assert_allclose(after, memory.transpose(2, 3).numpy(), rtol=1e-5, atol=1e-6)
