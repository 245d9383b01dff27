"""The mechanisms that carry a state, by their specs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from exporter.model.delta import gated_delta
from exporter.model.layers import Weights
from exporter.model.mamba import mamba
from exporter.model.mamba2 import mamba2
from exporter.model.rg_lru import rg_lru
from exporter.model.rwkv import time_mix
from exporter.model.short_conv import short_conv
from exporter.model.state import State
from exporter.spec import GatedDeltaSpec, Mamba2Spec, MambaSpec, RgLruSpec, ShortConvSpec, StateSpec, WkvSpec

_MECHANISMS: dict[type[Any], Callable[..., tuple[tf.Tensor, State]]] = {
    GatedDeltaSpec: gated_delta,
    Mamba2Spec: mamba2,
    MambaSpec: mamba,
    ShortConvSpec: short_conv,
    WkvSpec: time_mix,
}


def mixed(
    x: tf.Tensor,
    weights: Weights,
    spec: StateSpec,
    state: State,
    real: tf.Tensor | None,
    first: tf.Tensor | None = None,
) -> tuple[tf.Tensor, State]:
    """What a layer adds to the residual stream, [rows, k, hidden], and its new state.

    Args:
      x: [rows, k, hidden], normalised.
      state: what the rows carry so far.
      real: bool [rows, k], columns that hold a token, the last ones of each row; None: all do.
      first: bool [rows, k], columns that hold the first token of a text; None: none does.
    """
    if isinstance(spec, RgLruSpec):
        return rg_lru(x, weights, spec, state, real, first)
    return _MECHANISMS[type(spec)](x, weights, spec, state, real)
