"""Small parts that others are made of: norms and activations; and the check that a part is not used."""

from __future__ import annotations

import enum
from collections.abc import Collection
from dataclasses import dataclass, fields
from typing import Any

from exporter.errors import UnsupportedError


class NormKind(enum.Enum):
    """LAYER: Ba et al. 2016. RMS: Zhang and Sennrich 2019 (no mean is subtracted)."""

    LAYER = "layer_norm"
    RMS = "rms_norm"


@dataclass(frozen=True)
class NormSpec:
    """A normalisation; ``scale`` and ``bias`` say which weights it has.

    ``offset`` is added to the stored scale. ``round_first`` tells that a half-precision model rounds the
    normalised numbers to its dtype before it scales them, not after. ``wide`` keeps the weights of a float16
    model's in float32 (the reference's ``_keep_in_fp32_modules``).
    """

    kind: NormKind
    epsilon: float
    scale: bool = True
    bias: bool = False
    offset: float = 0.0
    round_first: bool = False
    wide: bool = False


class Activation(enum.Enum):
    """The reference's ACT2FN entries; several of its names share a formula."""

    GELU = "gelu"  # x * Phi(x), by erf
    GELU_TANH = "gelu_tanh"  # tanh approximation: gelu_new, gelu_fast, gelu_pytorch_tanh
    QUICK_GELU = "quick_gelu"  # x * sigmoid(1.702 x)
    RELU = "relu"
    RELU_SQUARED = "relu2"
    SILU = "silu"
    TANH = "tanh"
    SIGMOID = "sigmoid"
    LINEAR = "linear"
    XIELU = "xielu"  # Huang and Schlag 2024, with learned curvatures of both sides
    GPT_OSS = "gpt_oss"  # clamped swish with alpha 1.702, times (1 + clamped linear half)


def check_unused(what: str, spec: Any, names: Collection[str]) -> None:
    """Raises UnsupportedError where ``what``, which does not compute fields of ``names``, has one set."""
    for part in fields(spec):
        value = getattr(spec, part.name)
        if part.name in names and value != part.default:
            raise UnsupportedError(
                f"{what} with {part.name}={value!r} is not supported; allowed: {part.default!r}"
            )
