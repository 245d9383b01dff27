"""Where half-precision models round, to the last bit: parts of the reference run on the same numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import torch
from transformers.models.bloom.modeling_bloom import build_alibi_tensor
from transformers.models.cohere import modeling_cohere
from transformers.models.gemma.modeling_gemma import GemmaRMSNorm
from transformers.models.llama import modeling_llama
from transformers.models.olmo2 import modeling_olmo2
from transformers.models.t5.modeling_t5 import T5LayerNorm

from exporter.families.alibi import interleaved_slopes
from exporter.model.bias import Sight, past_bias
from exporter.model.layers import norm, times
from exporter.model.rotary import rotate
from exporter.spec import AlibiSpec, NormKind, NormSpec, RopeLayout, RotaryRounding, RotarySpec

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
