"""A layer: its branches, and how they are added."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from exporter.spec.attention import AttentionSpec
from exporter.spec.feed_forward import BesideSpec, MlpSpec, MoeSpec
from exporter.spec.parts import Activation, NormSpec
from exporter.spec.states import StateSpec


class Block(enum.Enum):
    """How a layer adds its branches to the residual stream ``x``.

    SEQUENTIAL: x += attention(norm(x)); x += mlp(norm(x)).
    PARALLEL: x += attention(norm(x)) + mlp(norm'(x)); without an ``mlp_norm`` both read the same norm.
    POST_NORM: x = norm(x + attention(x)); x = norm(x + mlp(x)).
    NORMED_RESIDUAL: h = norm(x); x = h + attention(h); h = norm(x); x = h + mlp(h).
    """

    SEQUENTIAL = "sequential"
    PARALLEL = "parallel"
    POST_NORM = "post_norm"
    NORMED_RESIDUAL = "normed_residual"


@dataclass(frozen=True)
class LayerInputSpec:
    """A third branch: norm(project(activation(gate(x)) * what the token itself says to this layer)).

    ``width`` counts the numbers of one token and one layer (``hidden_size_per_layer_input``).
    """

    width: int
    activation: Activation
    norm: NormSpec


@dataclass(frozen=True)
class LayerSpec:
    """One transformer layer. Norms and branches that are None are absent.

    ``attention_out_norm`` and ``mlp_out_norm`` run over a branch's output before it is added;
    ``residual_scale`` multiplies that output. ``cross_attention`` stands between attention and feed-forward
    block in the decoder of an encoder-decoder model. A layer with both attention and a ``state`` adds both
    branches; they read the same norm. ``wide_residual``: the residual stream is in float32 from here on.
    ``scaled``: a learned number multiplies the residual stream behind the layer.
    """

    attention: AttentionSpec | None = None
    mlp: MlpSpec | MoeSpec | None = None
    block: Block = Block.SEQUENTIAL
    attention_norm: NormSpec | None = None
    mlp_norm: NormSpec | None = None
    attention_out_norm: NormSpec | None = None
    mlp_out_norm: NormSpec | None = None
    cross_attention: AttentionSpec | None = None
    cross_norm: NormSpec | None = None
    cross_out_norm: NormSpec | None = None
    residual_scale: float = 1.0
    state: StateSpec | None = None
    wide_residual: bool = False
    beside: BesideSpec | None = None
    layer_input: LayerInputSpec | None = None
    scaled: bool = False
