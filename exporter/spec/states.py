"""States that layers carry from token to token, in place of attention or beside it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

from exporter.spec.parts import Activation, NormSpec


@dataclass(frozen=True)
class ShortConvSpec:
    """A gated short convolution (LFM2): C * conv(B * x), where B, C and x are projections of the input.

    ``kernel`` counts the token itself and those before it.
    """

    channels: int
    kernel: int
    bias: bool = False

    @property
    def window(self) -> tuple[int, int]:
        """What the convolution looks back at: [tokens, channels]."""
        return self.kernel - 1, self.channels

    @property
    def memory(self) -> tuple[int, ...] | None:
        """The shape of what is carried beside the window, in float32; None without."""
        return None


@dataclass(frozen=True)
class GatedDeltaSpec:
    """A gated delta net (Yang et al. 2024): a map from keys to values that decays and is corrected.

    Query, key and value go through a convolution of ``kernel`` tokens and ``activation`` first. ``norm`` runs
    over each head of what is read, before the gate. A ``write_scale`` of 2 lets a map's values change sign.
    ``wide_decay`` keeps the learned decays of half-precision models in float32.
    """

    key_heads: int
    value_heads: int
    key_dim: int
    value_dim: int
    kernel: int
    activation: Activation
    norm: NormSpec
    write_scale: float = 1.0
    wide_decay: bool = False

    @property
    def channels(self) -> tuple[int, int, int]:
        """Of query, key and value."""
        keys = self.key_heads * self.key_dim
        return keys, keys, self.value_heads * self.value_dim

    @property
    def window(self) -> tuple[int, int]:
        """As of ShortConvSpec."""
        return self.kernel - 1, sum(self.channels)

    @property
    def memory(self) -> tuple[int, ...] | None:
        """As of ShortConvSpec: [heads, key_dim, value_dim]."""
        return self.value_heads, self.key_dim, self.value_dim


@dataclass(frozen=True)
class Mamba2Spec:
    """A selective state space with one decay a head (Dao and Gu 2024).

    Attributes:
      groups: heads of one group share B and C.
      states: the size of a state, of each of a head's features.
      activation: behind the convolution.
      conv_bias, in_bias, out_bias: which weights have one.
      norm: over each group of the output; None without.
      norm_first: the norm comes before the gate, not after it.
      limits: of the time steps while a prompt is read; the reference does not apply them while it generates.
      scales: factors of gate, x, B, C and time steps behind the projection (Falcon-H1's mup_vector).
      in_scale, out_scale: factors of what the layer reads and of what it adds.
    """

    heads: int
    head_dim: int
    groups: int
    states: int
    kernel: int
    activation: Activation
    conv_bias: bool = True
    in_bias: bool = False
    out_bias: bool = False
    norm: NormSpec | None = None
    norm_first: bool = False
    limits: tuple[float, float] = (0.0, math.inf)
    scales: tuple[float, float, float, float, float] = (1.0, 1.0, 1.0, 1.0, 1.0)
    in_scale: float = 1.0
    out_scale: float = 1.0

    @property
    def width(self) -> int:
        """Features of all heads."""
        return self.heads * self.head_dim

    @property
    def channels(self) -> tuple[int, int, int]:
        """Of x, B and C."""
        return self.width, self.groups * self.states, self.groups * self.states

    @property
    def window(self) -> tuple[int, int]:
        """As of ShortConvSpec."""
        return self.kernel - 1, sum(self.channels)

    @property
    def memory(self) -> tuple[int, ...] | None:
        """As of ShortConvSpec: [heads, states, head_dim]."""
        return self.heads, self.states, self.head_dim


@dataclass(frozen=True)
class MambaSpec:
    """A selective state space with a decay of its own for every feature and state (Gu and Dao 2023).

    Attributes:
      channels: features.
      states: the size of each feature's state.
      rank: of the projection to time steps.
      activation: behind the convolution, and of the gate.
      norm: over each of time steps, B and C; None without.
    """

    channels: int
    states: int
    rank: int
    kernel: int
    activation: Activation
    conv_bias: bool = True
    bias: bool = False
    norm: NormSpec | None = None

    @property
    def window(self) -> tuple[int, int]:
        """As of ShortConvSpec."""
        return self.kernel - 1, self.channels

    @property
    def memory(self) -> tuple[int, ...] | None:
        """As of ShortConvSpec: [states, channels]."""
        return self.states, self.channels


@dataclass(frozen=True)
class RgLruSpec:
    """A real-gated linear recurrent unit behind a convolution (De et al. 2024): every feature has a decay.

    Attributes:
      channels: features.
      blocks: the gates read the features in so many blocks, each by itself.
      activation: of the branch that multiplies what is read.
    """

    channels: int
    blocks: int
    kernel: int
    activation: Activation

    @property
    def window(self) -> tuple[int, int]:
        """As of ShortConvSpec."""
        return self.kernel - 1, self.channels

    @property
    def memory(self) -> tuple[int, ...] | None:
        """As of ShortConvSpec: [channels]."""
        return (self.channels,)


@dataclass(frozen=True)
class WkvSpec:
    """The time mix of RWKV 4 (Peng et al. 2023): a decaying average of values, weighed by exp(key).

    What it reads is a token blended with the one before, and so is what the layer's ``ChannelMixSpec`` reads:
    the window holds the inputs of both, side by side.

    Attributes:
      hidden: features of an input.
      width: of keys and values (``attention_hidden_size``).
    """

    hidden: int
    width: int

    @property
    def window(self) -> tuple[int, int]:
        """As of ShortConvSpec."""
        return 1, 2 * self.hidden

    @property
    def memory(self) -> tuple[int, ...] | None:
        """As of ShortConvSpec: the sum of values, that of weights, and the largest exponent, [3, width]."""
        return 3, self.width


StateSpec: TypeAlias = ShortConvSpec | GatedDeltaSpec | Mamba2Spec | MambaSpec | RgLruSpec | WkvSpec
