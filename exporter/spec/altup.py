"""A residual stream of several parts, and the learned residual beside attention."""

from __future__ import annotations

from dataclasses import dataclass

from exporter.spec.parts import NormSpec


@dataclass(frozen=True)
class AltUpSpec:
    """AltUp (Baykal et al. 2023): a layer computes one of the parts, and corrects all by what it found.

    Attributes:
      parts: of the residual stream (``altup_num_inputs``); all layers have the same number.
      active: the part that the layer computes, and that its coefficients are made of.
      norm: of what makes the coefficients, which is then divided by the hidden size.
      scaled: a learned factor of each feature multiplies what a branch behind the layer reads.
    """

    parts: int
    active: int
    norm: NormSpec
    scaled: bool = False


@dataclass(frozen=True)
class LaurelSpec:
    """LAuReL (Menghani et al. 2024): x + norm(map(x)) of what attention reads joins the stream behind it.

    ``rank`` is that of the map; ``norm`` is behind it.
    """

    rank: int
    norm: NormSpec
