"""A layer: its branches, and how they are added."""

from __future__ import annotations

import enum
from dataclasses import dataclass, fields

from exporter.errors import UnsupportedError
from exporter.spec.altup import AltUpSpec, LaurelSpec
from exporter.spec.attention import AttentionSpec
from exporter.spec.feed_forward import BesideSpec, ChannelMixSpec, MlpSpec, MoeSpec
from exporter.spec.parts import Activation, NormSpec, check_unused
from exporter.spec.states import StateSpec, WkvSpec


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


#: What a block has no place for.
_UNUSED = {
    Block.SEQUENTIAL: (),
    Block.PARALLEL: ("beside", "cross_attention", "laurel", "mlp_out_norm"),
    Block.POST_NORM: (
        "attention_out_norm",
        "beside",
        "cross_out_norm",
        "laurel",
        "mlp_out_norm",
        "residual_scale",
        "wide_residual",
    ),
    Block.NORMED_RESIDUAL: ("wide_residual",),
}
#: What a cross-attention has, and nothing else.
_CROSS = {"heads", "kv_heads", "head_dim", "scale", "qkv_bias", "out_bias", "softcap"}


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
    ``scaled``: a learned number multiplies the residual stream behind the layer. ``halved``: 1/2 does so, and
    multiplies the weights of what later layers add (``rescale_every``). ``altup``: the residual stream has
    several parts. ``laurel`` stands between attention and feed-forward block.

    Raises:
      UnsupportedError: the layer has a part that the graph would leave out of it.
    """

    attention: AttentionSpec | None = None
    mlp: MlpSpec | MoeSpec | ChannelMixSpec | None = None
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
    halved: bool = False
    altup: AltUpSpec | None = None
    laurel: LaurelSpec | None = None

    def __post_init__(self) -> None:
        check_unused(f"a layer of block {self.block.value}", self, _UNUSED[self.block])
        if self.attention and self.attention.borrowed is not None:
            check_unused("a layer with borrowed keys", self, ("state",))
        if self.mlp is None:
            check_unused("a layer without a feed-forward block", self, ("beside",))
        if isinstance(self.state, WkvSpec) != isinstance(self.mlp, ChannelMixSpec):
            raise UnsupportedError("of time mix and channel mix a layer must have both or neither")
        if not isinstance(self.state, WkvSpec):
            check_unused("a layer without a time mix", self, ("halved",))
        if self.cross_attention:
            others = {part.name for part in fields(AttentionSpec)} - _CROSS
            check_unused("cross-attention", self.cross_attention, others)
