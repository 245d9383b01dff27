"""Where checkpoints keep the weights of layers that carry a state, and how they are laid out here.

Projections of the hidden state are one kernel ``state.in`` [hidden, ...]: of a gated delta net query, key,
value and gate; of Mamba 2 gate, x, B, C and time steps; of Mamba x and gate; of a short convolution B, C and
x; of a gated linear recurrence what it reads and the gate behind it. A convolution's ``state.conv.taps`` are
[kernel, channels], the newest token last.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Protocol

import numpy as np

from exporter.families.layout import Array, as_is, transpose
from exporter.families.names import StateNames
from exporter.families.parts import Part, Weight
from exporter.spec import (
    ChannelMixSpec,
    GatedDeltaSpec,
    Mamba2Spec,
    MambaSpec,
    NormSpec,
    RgLruSpec,
    ShortConvSpec,
    StateSpec,
    WkvSpec,
)


class Project(Protocol):
    """Linear maps of one input, side by side: stored names and widths -> kernel and bias of ``target``."""

    def __call__(
        self, target: str, stored: list[tuple[str, int]], inputs: int, bias: bool
    ) -> Iterator[Weight]: ...


class StateWeights:
    """The weights of one layer's state."""

    def __init__(self, names: StateNames, ours: str, stored: str, hidden: int, project: Project) -> None:
        self.names, self.ours, self.mlp, self.stored = names, f"{ours}state.", f"{ours}mlp.", stored
        self.hidden, self.project = hidden, project

    def of(self, spec: StateSpec) -> Iterator[Weight]:
        """All weights of a mechanism."""
        if isinstance(spec, ShortConvSpec):
            yield from self.short_conv(spec)
        elif isinstance(spec, GatedDeltaSpec):
            yield from self.gated_delta(spec)
        elif isinstance(spec, Mamba2Spec):
            yield from self.mamba2(spec)
        elif isinstance(spec, MambaSpec):
            yield from self.mamba(spec)
        elif isinstance(spec, RgLruSpec):
            yield from self.rg_lru(spec)
        else:
            yield from self.time_mix(spec)

    def short_conv(self, spec: ShortConvSpec) -> Iterator[Weight]:
        yield from self.inputs([3 * spec.channels], spec.bias)
        yield from self.convolution([spec.channels], spec.kernel, spec.bias)
        yield from self.output(spec.channels, spec.bias)

    def gated_delta(self, spec: GatedDeltaSpec) -> Iterator[Weight]:
        if len(self.names.inputs) == 1:
            rates, (keys, _, values) = 2 * spec.value_heads, spec.channels
            kernels = [("in", self.names.inputs[0], 2 * (keys + values), _grouped_inputs)]
            kernels += [("rates", self.names.rates[0], rates, _grouped_rates)]
            for target, name, width, convert in kernels:
                part = Part(f"{self.stored}{name}.weight", (width, self.hidden), partial(convert, spec))
                yield Weight(f"{self.ours}{target}.kernel", ((part,),))
        else:
            gate = spec.channels[2]
            apart = [*spec.channels, gate]
            yield from self.inputs(apart if len(self.names.inputs) == 4 else [sum(apart) - gate, gate], False)
            heads = [(self.stored + name, spec.value_heads) for name in self.names.rates]
            yield from self.project(f"{self.ours}rates", heads, self.hidden, False)
        yield from self.convolution(spec.channels, spec.kernel, False)
        yield from self.vectors(("decay",), spec.value_heads, wide=spec.wide_decay)
        yield from self.vectors(("dt_bias",), spec.value_heads)
        yield from self.norm("norm", self.names.norm, spec.norm, spec.value_dim)
        yield from self.output(spec.channels[2], False)

    def mamba2(self, spec: Mamba2Spec) -> Iterator[Weight]:
        yield from self.inputs([spec.width + sum(spec.channels) + spec.heads], spec.in_bias)
        yield from self.convolution([sum(spec.channels)], spec.kernel, spec.conv_bias)
        yield from self.vectors(("decay", "dt_bias", "skip"), spec.heads)
        yield from self.norm("norm", self.names.norm, spec.norm, spec.width)
        yield from self.output(spec.width, spec.out_bias)

    def mamba(self, spec: MambaSpec) -> Iterator[Weight]:
        channels, sizes = spec.channels, (spec.rank, spec.states, spec.states)
        yield from self.inputs([2 * channels], spec.bias)
        yield from self.convolution([channels], spec.kernel, spec.conv_bias)
        select, step = self.stored + self.names.select, self.stored + self.names.step
        yield from self.project(f"{self.ours}select", [(select, sum(sizes))], channels, False)
        yield from self.project(f"{self.ours}step", [(step, channels)], spec.rank, False)
        yield Weight(f"{self.ours}dt_bias", ((Part(f"{step}.bias", (channels,), as_is),),))
        decay = Part(self.stored + self.names.decay, (channels, spec.states), transpose)
        yield Weight(f"{self.ours}decay", ((decay,),))
        yield from self.vectors(("skip",), channels)
        targets = ("step_norm", "before_norm", "behind_norm")
        for target, name, size in zip(targets, self.names.norms, sizes, strict=False):
            yield from self.norm(target, name, spec.norm, size)
        yield from self.output(channels, spec.bias)

    def rg_lru(self, spec: RgLruSpec) -> Iterator[Weight]:
        yield from self.inputs([spec.channels, spec.channels], True)
        yield from self.convolution([spec.channels], spec.kernel, True)
        yield from self.vectors(("decay",), spec.channels)
        size = spec.channels // spec.blocks
        kernel, bias = (spec.blocks, size, size), (spec.blocks, size)
        for target, side, shape in (("kernel", "weight", kernel), ("bias", "bias", bias)):
            gates = [Part(f"{self.stored}{name}_{side}", shape, as_is) for name in self.names.rates]
            yield Weight(f"{self.ours}rates.{target}", (tuple(gates),))
        yield from self.output(spec.channels, True)

    def time_mix(self, spec: WkvSpec) -> Iterator[Weight]:
        yield self.shares(f"{self.ours}mix", self.names.mix[:3])
        for target, name in zip(("key", "value", "gate"), self.names.inputs, strict=True):
            stored = [(self.stored + name, spec.width)]
            yield from self.project(f"{self.ours}{target}", stored, self.hidden, False)
        for target, name in (("decay", self.names.decay), ("bonus", self.names.bonus)):
            part = Part(self.stored + name, (spec.width,), as_is)
            yield Weight(f"{self.ours}{target}", ((part,),), wide=True)
        yield from self.output(spec.width, False)

    def channel_mix(self, names: tuple[str, str, str], spec: ChannelMixSpec) -> Iterator[Weight]:
        """A feed-forward block that looks back as the time mix does."""
        yield self.shares(f"{self.mlp}mix", self.names.mix[3:])
        widths = (self.hidden, spec.width, self.hidden)
        inputs = (self.hidden, self.hidden, spec.width)
        for target, name, width, read in zip(("gate", "up", "down"), names, widths, inputs, strict=True):
            yield from self.project(f"{self.mlp}{target}", [(self.stored + name, width)], read, False)

    def shares(self, target: str, stored: tuple[str, ...]) -> Weight:
        """How much of a token counts beside the one before, for each projection: [n, hidden]."""
        parts = [Part(self.stored + name, (1, 1, self.hidden), np.ravel) for name in stored]
        return Weight(target, tuple((part,) for part in parts), stacked=True)

    def inputs(self, widths: list[int], bias: bool) -> Iterator[Weight]:
        stored = [(self.stored + name, width) for name, width in zip(self.names.inputs, widths, strict=True)]
        yield from self.project(f"{self.ours}in", stored, self.hidden, bias)

    def output(self, inputs: int, bias: bool) -> Iterator[Weight]:
        stored = [(self.stored + self.names.out, self.hidden)]
        yield from self.project(f"{self.ours}out", stored, inputs, bias)

    def convolution(self, channels: list[int] | tuple[int, ...], kernel: int, bias: bool) -> Iterator[Weight]:
        """Of all channels, or in parts that are stored apart."""
        widths = [sum(channels)] if len(self.names.conv) == 1 else list(channels)
        stored = [(self.stored + name, width) for name, width in zip(self.names.conv, widths, strict=True)]
        taps = [Part(f"{name}.weight", (width, 1, kernel), _taps) for name, width in stored]
        yield Weight(f"{self.ours}conv.taps", (tuple(taps),))
        if bias:
            biases = [Part(f"{name}.bias", (width,), as_is) for name, width in stored]
            yield Weight(f"{self.ours}conv.bias", (tuple(biases),))

    def vectors(self, targets: tuple[str, ...], size: int, *, wide: bool = False) -> Iterator[Weight]:
        """Numbers of each head or channel, ``wide`` ones always in float32; their stored names are whole."""
        for target in targets:
            part = Part(self.stored + getattr(self.names, target), (size,), as_is)
            yield Weight(f"{self.ours}{target}", ((part,),), strict=wide)

    def norm(self, target: str, stored: str, spec: NormSpec | None, size: int) -> Iterator[Weight]:
        if spec and spec.scale:
            part = Part(f"{self.stored}{stored}.weight", (size,), as_is)
            yield Weight(f"{self.ours}{target}.scale", ((part,),))


def _taps(array: Array) -> Array:
    """[channels, 1, kernel] -> [kernel, channels]."""
    return array[:, 0].T


def _grouped_inputs(spec: GatedDeltaSpec, array: Array) -> Array:
    """Rows by key head, each with query, key, values and gates -> [hidden, query | key | value | gate]."""
    values = spec.value_heads // spec.key_heads * spec.value_dim
    return _ungrouped(array, spec.key_heads, (spec.key_dim, spec.key_dim, values, values))


def _grouped_rates(spec: GatedDeltaSpec, array: Array) -> Array:
    """Rows by key head, each with the strengths and steps of its values -> [hidden, strength | step]."""
    return _ungrouped(array, spec.key_heads, (spec.value_heads // spec.key_heads,) * 2)


def _ungrouped(array: Array, groups: int, widths: tuple[int, ...]) -> Array:
    by_group = array.T.reshape(array.shape[1], groups, sum(widths))
    parts = np.split(by_group, np.cumsum(widths)[:-1], axis=-1)
    return np.concatenate([part.reshape(array.shape[1], -1) for part in parts], axis=-1)
