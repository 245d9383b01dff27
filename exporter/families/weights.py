"""Where a family's checkpoints keep the weights that a ModelSpec asks for, and how they are laid out here.

Linear kernels are kept as [in, out]; query, key and value are one kernel [hidden, q | k | v]; gate and up
projection are one kernel [hidden, gate | up]; expert weights carry a leading axis [experts, ...]. A token
embedding is [vocab, hidden], but [hidden, vocab] where the head is tied to it: the head's matrix-vector
product, which reads all of it at every step, is the use that counts.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from exporter.spec import (
    AttentionSpec,
    LayerSpec,
    MlpSpec,
    ModelSpec,
    MoeSpec,
    NormSpec,
    PositionKind,
    QkNormScope,
)

Array = npt.NDArray[Any]


class Linear(enum.Enum):
    """Stored layout of linear kernels: torch.nn.Linear is [out, in], GPT-2's Conv1D is [in, out]."""

    OUT_IN = "out_in"
    IN_OUT = "in_out"


class Fused(enum.Enum):
    """Order of a fused query/key/value projection's outputs."""

    CONCATENATED = "concatenated"  # all q, all k, all v
    GROUPED = "grouped"  # per key/value head: its q heads, k, v
    CODEGEN = "codegen"  # four blocks, each q, v, k of a quarter of the heads


@dataclass(frozen=True)
class Names:
    """A family's weight names, without ".weight" and ".bias"; ``{i}`` is the layer, ``{e}`` the expert.

    Attributes:
      prefixes: what may stand before every name but the head's; the first that fits the checkpoint is used.
      qkv: three names, or one for a fused projection, whose order ``fused`` tells.
      gate, up: with an empty ``gate``, ``up`` is the fused [gate | up] projection of a gated block.
      norm_offset: is added to norm scales (gemma stores scale - 1).
      unused: regular expressions of stored tensors that inference does not need (masks, rotary tables).
    """

    prefixes: tuple[str, ...]
    tokens: str
    layer: str
    qkv: tuple[str, ...]
    out: str
    up: str
    down: str
    attention_norm: str = ""
    mlp_norm: str = ""
    final_norm: str = ""
    gate: str = ""
    attention_out_norm: str = ""
    mlp_out_norm: str = ""
    q_norm: str = ""
    k_norm: str = ""
    sinks: str = ""
    positions: str = ""
    embedding_norm: str = ""
    project_in: str = ""
    project_out: str = ""
    router: str = ""
    shared_gate: str = ""
    shared: tuple[str, str, str] = ("", "", "")
    head: str = "lm_head"
    linear: Linear = Linear.OUT_IN
    fused: Fused = Fused.CONCATENATED
    norm_offset: float = 0.0
    unused: tuple[str, ...] = ()


@dataclass(frozen=True)
class Part:
    """A stored tensor: its name, the shape it must have as stored, and what turns it into ours."""

    name: str
    shape: tuple[int, ...]
    convert: Callable[[Array], Array]


@dataclass(frozen=True)
class Weight:
    """One of our weights: groups of parts, joined on the last axis; several groups are stacked."""

    target: str
    groups: tuple[tuple[Part, ...], ...]
    stacked: bool = False


def as_is(array: Array) -> Array:
    """The stored layout is ours."""
    return array


def transpose(array: Array) -> Array:
    """[out, in] -> [in, out]."""
    return array.T


def plan(spec: ModelSpec, names: Names, prefix: str) -> Iterator[Weight]:
    """Every weight of ``spec`` and where it is stored."""
    table = _Table(spec, names, prefix)
    yield from table.embedding()
    for index, layer in enumerate(spec.decoder.layers):
        yield from table.layer(index, layer)
    yield from table.norm("final_norm", prefix + names.final_norm, spec.decoder.final_norm, spec.hidden_size)
    yield from table.head()


class _Table:
    """Builds the weights of one model, a group of rows at a time."""

    def __init__(self, spec: ModelSpec, names: Names, prefix: str) -> None:
        self.spec, self.names, self.prefix = spec, names, prefix

    def embedding(self) -> Iterator[Weight]:
        spec, names, embedding = self.spec, self.names, self.spec.decoder.embedding
        convert = transpose if spec.head.tied else as_is
        tokens = Part(f"{self.prefix}{names.tokens}.weight", (spec.vocab_size, embedding.size), convert)
        yield Weight("embedding.tokens", ((tokens,),))
        if embedding.positions is PositionKind.LEARNED:
            rows = embedding.position_count + embedding.position_offset
            part = Part(f"{self.prefix}{names.positions}.weight", (rows, spec.hidden_size), as_is)
            yield Weight("embedding.positions", ((part,),))
        yield from self.norm(
            "embedding.norm", self.prefix + names.embedding_norm, embedding.norm, spec.hidden_size
        )
        if embedding.size != spec.hidden_size:
            sizes = (embedding.size, spec.hidden_size)
            yield from self.linear("embedding.project_in", self.prefix + names.project_in, *sizes, False)
            yield from self.linear("head.project_out", self.prefix + names.project_out, *sizes[::-1], False)

    def head(self) -> Iterator[Weight]:
        sizes = (self.spec.decoder.embedding.size, self.spec.vocab_size)
        if not self.spec.head.tied:
            part = Part(f"{self.names.head}.weight", sizes[::-1], transpose)
            yield Weight("head.kernel", ((part,),))
        if self.spec.head.bias:
            yield Weight("head.bias", ((Part(f"{self.names.head}.bias", sizes[1:], as_is),),))

    def layer(self, index: int, layer: LayerSpec) -> Iterator[Weight]:
        ours, stored = f"layers.{index}.", self.prefix + self.names.layer.format(i=index)
        names, hidden = self.names, self.spec.hidden_size
        yield from self.norm(
            f"{ours}attention_norm", stored + names.attention_norm, layer.attention_norm, hidden
        )
        yield from self.norm(f"{ours}mlp_norm", stored + names.mlp_norm, layer.mlp_norm, hidden)
        yield from self.norm(
            f"{ours}attention_out_norm", stored + names.attention_out_norm, layer.attention_out_norm, hidden
        )
        yield from self.norm(f"{ours}mlp_out_norm", stored + names.mlp_out_norm, layer.mlp_out_norm, hidden)
        yield from self.attention(ours, stored, layer.attention)
        if isinstance(layer.mlp, MlpSpec):
            yield from self.mlp(f"{ours}mlp.", stored, (names.gate, names.up, names.down), layer.mlp)
        else:
            yield from self.experts(ours, stored, layer.mlp)

    def attention(self, ours: str, stored: str, spec: AttentionSpec) -> Iterator[Weight]:
        hidden, names = self.spec.hidden_size, self.names
        widths = [spec.heads * spec.head_dim, spec.kv_heads * spec.head_dim, spec.kv_heads * spec.head_dim]
        if len(names.qkv) == 1:
            yield from self.fused_qkv(f"{ours}attention.qkv", stored + names.qkv[0], spec)
        else:
            projections = [(stored + name, width) for name, width in zip(names.qkv, widths, strict=True)]
            yield from self.joined(f"{ours}attention.qkv", projections, spec.qkv_bias)
        yield from self.linear(f"{ours}attention.out", stored + names.out, widths[0], hidden, spec.out_bias)
        yield from self.qk_norm(f"{ours}attention.q_norm", stored + names.q_norm, spec, spec.heads)
        yield from self.qk_norm(f"{ours}attention.k_norm", stored + names.k_norm, spec, spec.kv_heads)
        if spec.sinks:
            yield Weight(f"{ours}attention.sinks", ((Part(stored + names.sinks, (spec.heads,), as_is),),))

    def fused_qkv(self, target: str, stored: str, spec: AttentionSpec) -> Iterator[Weight]:
        width = (spec.heads + 2 * spec.kv_heads) * spec.head_dim

        def split(array: Array) -> Array:
            return _unfuse(array, self.names.fused, spec)

        def kernel(array: Array) -> Array:
            return split(array.T if self.names.linear is Linear.OUT_IN else array)

        shape = self.kernel_shape(self.spec.hidden_size, width)
        yield Weight(f"{target}.kernel", ((Part(f"{stored}.weight", shape, kernel),),))
        if spec.qkv_bias:
            yield Weight(f"{target}.bias", ((Part(f"{stored}.bias", (width,), split),),))

    def qk_norm(self, target: str, stored: str, spec: AttentionSpec, heads: int) -> Iterator[Weight]:
        size = spec.head_dim if spec.qk_norm_scope is QkNormScope.HEAD else heads * spec.head_dim
        if spec.qk_norm_scope is QkNormScope.PER_HEAD and spec.qk_norm:
            yield Weight(f"{target}.scale", ((Part(f"{stored}.weight", (heads, spec.head_dim), as_is),),))
        else:
            yield from self.norm(target, stored, spec.qk_norm, size)

    def mlp(self, ours: str, stored: str, names: tuple[str, str, str], spec: MlpSpec) -> Iterator[Weight]:
        gate, up, down = (stored + name for name in names)
        if spec.gated and names[0]:
            yield from self.joined(f"{ours}up", [(gate, spec.width), (up, spec.width)], spec.up_bias)
        else:
            width = spec.width * (2 if spec.gated else 1)
            yield from self.linear(f"{ours}up", up, self.spec.hidden_size, width, spec.up_bias)
        yield from self.linear(f"{ours}down", down, spec.width, self.spec.hidden_size, spec.down_bias)

    def experts(self, ours: str, stored: str, spec: MoeSpec) -> Iterator[Weight]:
        names, hidden = self.names, self.spec.hidden_size
        yield from self.linear(
            f"{ours}moe.router", stored + names.router, hidden, spec.experts, spec.router_bias
        )
        per_expert = [
            tuple(
                self.mlp(
                    f"{ours}moe.",
                    stored,
                    (names.gate.format(e=e), names.up.format(e=e), names.down.format(e=e)),
                    spec.expert,
                )
            )
            for e in range(spec.experts)
        ]
        for same in zip(*per_expert, strict=True):
            yield Weight(same[0].target, tuple(weight.groups[0] for weight in same), stacked=True)
        if spec.shared:
            yield from self.mlp(f"{ours}moe.shared.", stored, names.shared, spec.shared)
            yield from self.linear(f"{ours}moe.shared_gate", stored + names.shared_gate, hidden, 1, False)

    def norm(self, target: str, stored: str, spec: NormSpec | None, size: int) -> Iterator[Weight]:
        if spec and spec.scale:
            offset = self.names.norm_offset
            convert = as_is if offset == 0.0 else lambda array: array.astype(np.float32) + np.float32(offset)
            yield Weight(f"{target}.scale", ((Part(f"{stored}.weight", (size,), convert),),))
        if spec and spec.bias:
            yield Weight(f"{target}.bias", ((Part(f"{stored}.bias", (size,), as_is),),))

    def linear(self, target: str, stored: str, inputs: int, outputs: int, bias: bool) -> Iterator[Weight]:
        yield from self._projections(target, [(stored, outputs)], inputs, bias)

    def joined(self, target: str, stored: list[tuple[str, int]], bias: bool) -> Iterator[Weight]:
        """Projections of the hidden state, side by side."""
        yield from self._projections(target, stored, self.spec.hidden_size, bias)

    def _projections(
        self, target: str, stored: list[tuple[str, int]], inputs: int, bias: bool
    ) -> Iterator[Weight]:
        convert = transpose if self.names.linear is Linear.OUT_IN else as_is
        kernels = [Part(f"{name}.weight", self.kernel_shape(inputs, out), convert) for name, out in stored]
        yield Weight(f"{target}.kernel", (tuple(kernels),))
        if bias:
            biases = [Part(f"{name}.bias", (out,), as_is) for name, out in stored]
            yield Weight(f"{target}.bias", (tuple(biases),))

    def kernel_shape(self, inputs: int, outputs: int) -> tuple[int, int]:
        return (outputs, inputs) if self.names.linear is Linear.OUT_IN else (inputs, outputs)


def _unfuse(array: Array, order: Fused, spec: AttentionSpec) -> Array:
    """Reorders the last axis of a fused projection into q | k | v."""
    lead = array.shape[:-1]
    if order is Fused.CONCATENATED:
        return array
    if order is Fused.GROUPED:
        grouped = array.reshape(*lead, spec.kv_heads, -1, spec.head_dim)
        parts = [grouped[..., :-2, :], grouped[..., -2:-1, :], grouped[..., -1:, :]]
    else:
        blocks = array.reshape(*lead, 4, 3, -1)
        parts = [blocks[..., 0, :], blocks[..., 2, :], blocks[..., 1, :]]
    return np.concatenate([part.reshape(*lead, -1) for part in parts], axis=-1)
