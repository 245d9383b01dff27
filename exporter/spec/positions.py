"""How attention knows distances: rotary embeddings, ALiBi, learned biases."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class RopeKind(enum.Enum):
    """``rope_type`` of the reference's ``rope_parameters``."""

    DEFAULT = "default"
    LINEAR = "linear"
    DYNAMIC = "dynamic"
    YARN = "yarn"
    LLAMA3 = "llama3"
    LONGROPE = "longrope"
    PROPORTIONAL = "proportional"


class RopeLayout(enum.Enum):
    """Which pairs of features turn together: (j, j + dim / 2), or (2 j, 2 j + 1)."""

    HALVES = "halves"
    INTERLEAVED = "interleaved"


class RotaryRounding(enum.Enum):
    """What a half-precision model rounds to its dtype when it turns queries and keys."""

    EACH = "each"  # cosines and sines, both products, and their sum
    ANGLES = "angles"  # cosines and sines, and the sum
    SUM = "sum"  # the sum alone


@dataclass(frozen=True)
class RotarySpec:
    """Rotary embedding (Su et al. 2021) of the first ``dim`` features of a head.

    ``factor``, ``original_length`` and the rest are the reference's ``rope_parameters`` after its own
    standardisation; unused ones stay at their defaults. ``max_length`` is ``max_position_embeddings``.
    """

    dim: int
    theta: float
    kind: RopeKind = RopeKind.DEFAULT
    layout: RopeLayout = RopeLayout.HALVES
    rounding: RotaryRounding = RotaryRounding.EACH
    factor: float = 1.0
    max_length: int = 0
    original_length: int = 0
    attention_factor: float = 1.0
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    truncate: bool = True
    backwards: bool = False  # turns by the negative angle
    still: int = 0  # the last pairs of features that do not turn (proportional)
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    short_factors: tuple[float, ...] = ()
    long_factors: tuple[float, ...] = ()


@dataclass(frozen=True)
class AlibiSpec:
    """Attention with linear biases (Press et al. 2021): ``slopes[head] * key position``, added to the scores.

    ``multiplied`` is the dtype that slopes and positions are multiplied in, ``rounded`` what the product is
    rounded to after that ("model": the model's dtype); ``scale`` multiplies what is left of it.
    """

    slopes: tuple[float, ...]
    scale: float = 1.0
    multiplied: str = "float32"
    rounded: str = "float32"


@dataclass(frozen=True)
class RelativeSpec:
    """T5's relative position bias (Raffel et al. 2020): a learned number per head and bucket of distances.

    ``per_layer`` tells whether every layer has a table of its own, or all of a stack share one.
    """

    buckets: int
    max_distance: int
    bidirectional: bool
    per_layer: bool = False
