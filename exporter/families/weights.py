"""Where a family's checkpoints keep the weights that a ModelSpec asks for, and how they are laid out here.

Linear kernels are kept as [in, out]; query, key and value are one kernel [hidden, q | k | v]; gate and up
projection are one kernel [hidden, gate | up]; expert weights carry a leading axis [experts, ...]. A token
embedding is [vocab, hidden], but [hidden, vocab] where the head is tied to it: the head's matrix-vector
product, which reads all of it at every step, is the use that counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import numpy as np

from exporter.families.layout import (
    Array,
    alone,
    apart,
    as_is,
    half_of_heads,
    halves,
    latent_keys,
    latent_values,
    transpose,
    unfuse,
    vaswani_positions,
)
from exporter.families.names import Experts, LatentNames, Linear, MixedHeadsNames, Names, Tables
from exporter.families.parts import Part, Weight
from exporter.families.state_weights import StateWeights
from exporter.families.stream_weights import StreamWeights, media_weights
from exporter.spec import (
    Activation,
    AttentionSpec,
    ChannelMixSpec,
    ChoiceSpec,
    LatentSpec,
    LayerSpec,
    MlpSpec,
    ModelSpec,
    MoeSpec,
    NormSpec,
    PositionKind,
    QkNormScope,
)
from exporter.spec.parts import check_unused


def plan(spec: ModelSpec, names: Names, tables: Tables) -> Iterator[Weight]:
    """Every weight of ``spec`` and where it is stored; an encoder's are under ``encoder.``."""
    yield from _Table(spec, names).model(tables.tokens, tables.head)
    if spec.encoder and names.encoder:
        # An encoder is planned as a model of its own, without a head.
        alone = replace(
            spec,
            decoder=spec.encoder,
            encoder=None,
            vocab_size=spec.encoder.vocab_size or spec.vocab_size,
            hidden_size=spec.encoder.hidden_size or spec.hidden_size,
        )
        for weight in _Table(alone, names.encoder).stack(tables.encoder, by_column=False):
            yield replace(weight, target=f"encoder.{weight.target}")


class _Table:
    """Builds the weights of one model, a group of rows at a time."""

    def __init__(self, spec: ModelSpec, names: Names) -> None:
        self.spec, self.names, self.prefix = spec, names, names.prefix
        stream = names.stream
        self.stream = StreamWeights(self, stream, names.prefix, spec.hidden_size) if stream else None

    def model(self, tokens: str, head: str | None) -> Iterator[Weight]:
        yield from self.stack(tokens, by_column=head is None)
        yield from self.head(head)

    def stack(self, tokens: str | None, *, by_column: bool) -> Iterator[Weight]:
        spec = self.spec
        yield from self.embedding(tokens, transpose if by_column else as_is)
        for index, layer in enumerate(spec.decoder.layers):
            yield from self.layer(index, layer)
        if self.stream:
            yield from self.stream.merged(spec.decoder.parts)
        yield from self.norm(
            "final_norm", self.prefix + self.names.final_norm, spec.decoder.final_norm, spec.hidden_size
        )

    def embedding(self, tokens: str | None, convert: Callable[[Array], Array]) -> Iterator[Weight]:
        spec, names, embedding = self.spec, self.names, self.spec.decoder.embedding
        if tokens is not None:
            table = Part(tokens, (spec.vocab_size, embedding.size), convert)
            yield Weight("embedding.tokens", ((table,),))
        if embedding.positions in {PositionKind.LEARNED, PositionKind.VASWANI}:
            rows = embedding.position_count + embedding.position_offset
            waves = partial(vaswani_positions, rows, spec.hidden_size)
            default = waves if embedding.positions is PositionKind.VASWANI else None
            part = Part(f"{self.prefix}{names.positions}.weight", (rows, spec.hidden_size), as_is, default)
            yield Weight("embedding.positions", ((part,),))
        yield from self.norm(
            "embedding.norm", self.prefix + names.embedding_norm, embedding.norm, spec.hidden_size
        )
        if inputs := embedding.layer_inputs:
            entries, projection, normed = (self.prefix + name for name in names.layer_inputs)
            width = inputs.layers * inputs.width
            part = Part(f"{entries}.weight", (inputs.vocab, width), as_is)
            yield Weight("embedding.layer_tokens", ((part,),))
            yield from self.linear("embedding.layer_inputs", projection, spec.hidden_size, width, False)
            yield from self.norm("embedding.layer_inputs_norm", normed, inputs.norm, inputs.width)
        if embedding.media:
            yield from media_weights(self, embedding.media, names.media, spec.hidden_size)
        if self.stream:
            yield from self.stream.spread(spec.decoder.parts)
        if embedding.size != spec.hidden_size:
            sizes = (embedding.size, spec.hidden_size)
            yield from self.linear("embedding.project_in", self.prefix + names.project_in, *sizes, False)
            yield from self.linear("head.project_out", self.prefix + names.project_out, *sizes[::-1], False)

    def head(self, head: str | None) -> Iterator[Weight]:
        sizes, names, hidden = (
            (self.spec.decoder.embedding.size, self.spec.vocab_size),
            self.names,
            self.spec.hidden_size,
        )
        if block := self.spec.head.block:
            yield from self.linear("head.dense", names.head_dense, hidden, hidden, block.bias)
            yield from self.norm("head.norm", names.head_norm, block.norm, hidden)
        if head is not None:
            yield Weight("head.kernel", ((Part(head, sizes[::-1], transpose),),))
        if self.names.head_bias:
            shape = (1, self.spec.vocab_size)
            part = Part(self.names.head_bias, shape, lambda array: array[0], partial(np.zeros, shape))
            yield Weight("head.bias", ((part,),))
        elif self.spec.head.bias:
            yield Weight("head.bias", ((Part(f"{self.names.head}.bias", sizes[1:], as_is),),))

    def layer(self, index: int, layer: LayerSpec) -> Iterator[Weight]:
        """All weights of a layer; of a halved residual stream, what is added to it is halved as well."""
        halvings = sum(before.halved for before in self.spec.decoder.layers[:index])
        for weight in self.branches(index, layer):
            yield _halved(weight, halvings) if halvings and weight.target.endswith(_ADDING) else weight

    def branches(self, index: int, layer: LayerSpec) -> Iterator[Weight]:
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
        if layer.attention:
            yield from self.attention(ours, stored, layer.attention)
            yield from self.relative(index, stored, layer.attention)
        if layer.state and names.state:
            own = StateWeights(names.state, ours, stored, hidden, self._projections)
            yield from own.of(layer.state)
            if isinstance(layer.mlp, ChannelMixSpec):
                yield from own.channel_mix((names.gate, names.up, names.down), layer.mlp)
        if layer.cross_attention:
            yield from self.cross_attention(ours, stored, layer.cross_attention)
        yield from self.norm(f"{ours}cross_norm", stored + names.cross_norm, layer.cross_norm, hidden)
        yield from self.norm(
            f"{ours}cross_out_norm", stored + names.cross_out_norm, layer.cross_out_norm, hidden
        )
        if isinstance(layer.mlp, MlpSpec):
            yield from self.mlp(f"{ours}mlp.", stored, (names.gate, names.up, names.down), layer.mlp)
        elif isinstance(layer.mlp, MoeSpec):
            yield from self.experts(ours, stored, layer.mlp)
        yield from self.behind(ours, stored, layer)

    def behind(self, ours: str, stored: str, layer: LayerSpec) -> Iterator[Weight]:
        """What stands beside and behind a layer's two branches."""
        names, hidden = self.names, self.spec.hidden_size
        if layer.beside:
            for target, name in zip(("mlp_beside", "beside", "beside_out"), names.beside, strict=True):
                yield from self.norm(f"{ours}{target}_norm", stored + name, layer.beside.norm, hidden)
            yield from self.experts(ours, stored, layer.beside.mixture)
        if branch := layer.layer_input:
            gate, out, normed = (stored + name for name in names.layer_input)
            yield from self.linear(f"{ours}layer_input.gate", gate, hidden, branch.width, False)
            yield from self.linear(f"{ours}layer_input.out", out, branch.width, hidden, False)
            yield from self.norm(f"{ours}layer_input_norm", normed, branch.norm, hidden)
        if self.stream and layer.altup:
            yield from self.stream.layer(ours, stored, layer.altup)
        if self.stream and layer.laurel:
            yield from self.stream.laurel(ours, stored, layer.laurel)
        if layer.scaled:
            yield Weight(f"{ours}scaled", ((Part(stored + names.scaled, (1,), as_is),),))

    def attention(self, ours: str, stored: str, spec: AttentionSpec) -> Iterator[Weight]:
        hidden, names = self.spec.hidden_size, self.names
        if spec.experts and names.mixed_heads:
            yield from self.mixed_heads(f"{ours}attention.", stored, names.mixed_heads, spec, spec.experts)
            return
        key, value = spec.widths
        widths, read = (spec.heads * key, spec.kv_heads * key, spec.kv_heads * value), spec.heads * value
        if spec.latent and names.latent:
            yield from self.latent(f"{ours}attention.", stored, names.latent, spec, spec.latent)
        elif spec.borrowed is not None:
            yield from self.linear(
                f"{ours}attention.q", stored + names.qkv[0], hidden, widths[0], spec.qkv_bias
            )
        elif spec.gated and not names.attention_gate:
            yield from self.gated_qkv(f"{ours}attention.", stored, spec)
        elif len(names.qkv) == 1:
            yield from self.fused_qkv(f"{ours}attention.qkv", stored + names.qkv[0], spec)
        else:
            query, keys, values = names.qkv
            own = (query, keys, keys if spec.value_is_key else values)
            projections = [(stored + name, width) for name, width in zip(own, widths, strict=True)]
            yield from self.joined(f"{ours}attention.qkv", projections, spec.qkv_bias)
        if spec.gated and names.attention_gate:
            gates = spec.heads if spec.gate_by_head else read
            gate = (stored + names.attention_gate, hidden, gates, False)
            yield from self.linear(f"{ours}attention.gate", *gate)
        yield from self.linear(f"{ours}attention.out", stored + names.out, read, hidden, spec.out_bias)
        yield from self.qk_norm(f"{ours}attention.q_norm", stored + names.q_norm, spec, spec.heads)
        if spec.borrowed is None:
            yield from self.qk_norm(f"{ours}attention.k_norm", stored + names.k_norm, spec, spec.kv_heads)
        if spec.sinks:
            part = Part(stored + names.sinks, (spec.heads,), as_is)
            yield Weight(f"{ours}attention.sinks", ((part,),), strict=spec.wide_sinks)
        if spec.difference:
            parts = [Part(stored + name, (spec.head_dim,), as_is) for name in names.lambdas]
            yield Weight(f"{ours}attention.lambdas", (tuple(parts),))

    def latent(
        self, ours: str, stored: str, names: LatentNames, spec: AttentionSpec, latent: LatentSpec
    ) -> Iterator[Weight]:
        hidden, heads, bias = self.spec.hidden_size, spec.heads, spec.qkv_bias
        width, rank = heads * (latent.plain + latent.rotated), latent.query_rank
        if rank is None:
            yield from self.linear(f"{ours}q", stored + names.q, hidden, width, False)
        else:
            yield from self.linear(f"{ours}q_a", stored + names.q_a, hidden, rank, bias)
            yield from self.norm(f"{ours}q_a_norm", stored + names.q_a_norm, latent.norm, rank)
            yield from self.linear(f"{ours}q_b", stored + names.q_b, rank, width, False)
        yield from self.linear(f"{ours}kv_a", stored + names.kv_a, hidden, latent.width, bias)
        yield from self.norm(f"{ours}kv_a_norm", stored + names.kv_a_norm, latent.norm, latent.rank)
        shape = (heads * (latent.plain + latent.value), latent.rank)
        for target, convert in (("k_b", latent_keys), ("v_b", latent_values)):
            part = partial(convert, heads=heads, plain=latent.plain)
            yield Weight(f"{ours}{target}.kernel", ((Part(f"{stored}{names.kv_b}.weight", shape, part),),))

    def mixed_heads(
        self, ours: str, stored: str, names: MixedHeadsNames, spec: AttentionSpec, choice: ChoiceSpec
    ) -> Iterator[Weight]:
        hidden, width = self.spec.hidden_size, spec.kv_heads * spec.head_dim
        yield from self.linear(f"{ours}kv", stored + names.kv, hidden, 2 * width, False)
        yield from self.linear(f"{ours}moe.router", stored + names.router, hidden, choice.experts, False)
        for target, name, inputs, outputs in (
            ("q", names.q, hidden, width),
            ("out", names.out, width, hidden),
        ):
            part = Part(stored + name, (choice.experts, outputs, inputs), halves)
            yield Weight(f"{ours}moe.{target}.kernel", ((part,),))
        yield Weight(f"{ours}moe.bias", ((Part(stored + names.bias, (hidden,), as_is),),))

    def relative(self, index: int, stored: str, spec: AttentionSpec) -> Iterator[Weight]:
        if spec.relative and (index == 0 or spec.relative.per_layer):
            shape = (spec.relative.buckets, spec.heads)
            part = Part(f"{stored}{self.names.relative}.weight", shape, as_is)
            yield Weight(f"relative.{index}", ((part,),))

    def cross_attention(self, ours: str, stored: str, spec: AttentionSpec) -> Iterator[Weight]:
        spec_of_source = self.spec.encoder
        hidden = self.spec.hidden_size
        source = (spec_of_source.hidden_size if spec_of_source else None) or hidden
        query, key, value = (stored + name for name in self.names.cross)
        heads, kv_heads = spec.heads * spec.head_dim, spec.kv_heads * spec.head_dim
        yield from self.linear(f"{ours}cross.q", query, hidden, heads, spec.qkv_bias)
        yield from self._projections(
            f"{ours}cross.kv", [(key, kv_heads), (value, kv_heads)], source, spec.qkv_bias
        )
        yield from self.linear(
            f"{ours}cross.out", stored + self.names.cross_out, heads, hidden, spec.out_bias
        )

    def gated_qkv(self, ours: str, stored: str, spec: AttentionSpec) -> Iterator[Weight]:
        """The gate is stored with the query: of each head first the one, then the other."""
        check_unused("a gate stored with the query", spec, ("value_dim", "value_is_key"))
        query, key, value = (stored + name for name in self.names.qkv)
        width, others = spec.heads * spec.head_dim, spec.kv_heads * spec.head_dim
        own, gate = (partial(half_of_heads, heads=spec.heads, half=half) for half in (0, 1))
        sides: list[tuple[str, str, tuple[int, ...]]] = [("kernel", "weight", (self.spec.hidden_size,))]
        sides += [("bias", "bias", ())] if spec.qkv_bias else []
        for side, name, inputs in sides:
            both, shape = f"{query}.{name}", (2 * width, *inputs)
            rest = [Part(f"{part}.{name}", (others, *inputs), transpose) for part in (key, value)]
            yield Weight(f"{ours}qkv.{side}", ((Part(both, shape, own), *rest),))
            yield Weight(f"{ours}gate.{side}", ((Part(both, shape, gate),),))

    def fused_qkv(self, target: str, stored: str, spec: AttentionSpec) -> Iterator[Weight]:
        check_unused("a fused projection", spec, ("value_dim", "value_is_key"))
        width = (spec.heads + 2 * spec.kv_heads) * spec.head_dim

        def split(array: Array) -> Array:
            return unfuse(array, self.names.fused, spec)

        def kernel(array: Array) -> Array:
            return split(array.T if self.names.linear is Linear.OUT_IN else array)

        shape = self.kernel_shape(self.spec.hidden_size, width)
        yield Weight(f"{target}.kernel", ((Part(f"{stored}.weight", shape, kernel),),))
        if spec.qkv_bias:
            yield Weight(f"{target}.bias", ((Part(f"{stored}.bias", (width,), split),),))

    def qk_norm(self, target: str, stored: str, spec: AttentionSpec, heads: int) -> Iterator[Weight]:
        size = spec.head_dim if spec.qk_norm_scope is QkNormScope.HEAD else heads * spec.head_dim
        if spec.qk_norm_scope is not QkNormScope.PER_HEAD or not spec.qk_norm:
            yield from self.norm(target, stored, spec.qk_norm, size)
        elif "{h}" in stored:
            names = [f"{stored.format(h=head)}.weight" for head in range(heads)]
            scales = tuple((Part(name, (spec.head_dim,), as_is),) for name in names)
            yield Weight(f"{target}.scale", scales, stacked=True)
        else:
            yield Weight(f"{target}.scale", ((Part(f"{stored}.weight", (heads, spec.head_dim), as_is),),))

    def mlp(self, ours: str, stored: str, names: tuple[str, str, str], spec: MlpSpec) -> Iterator[Weight]:
        gate, up, down = (stored + name for name in names)
        if spec.gated and names[0]:
            yield from self.joined(f"{ours}up", [(gate, spec.width), (up, spec.width)], spec.up_bias)
        else:
            width = spec.width * (2 if spec.gated else 1)
            yield from self.linear(f"{ours}up", up, self.spec.hidden_size, width, spec.up_bias)
        if spec.activation is Activation.XIELU:
            yield self.xielu(f"{ours}xielu", stored + self.names.activation)
        for weight in self.linear(f"{ours}down", down, spec.width, self.spec.hidden_size, spec.down_bias):
            yield replace(weight, wide=spec.wide_down)

    def xielu(self, target: str, stored: str) -> Weight:
        """Four numbers; two of them are constants that a checkpoint may lack."""
        learned = [Part(f"{stored}.{name}", (1,), as_is) for name in ("alpha_p", "alpha_n")]
        constants = [
            Part(f"{stored}.{name}", (), alone, partial(np.full, (), value))
            for name, value in (("beta", 0.5), ("eps", -1e-6))
        ]
        return Weight(target, ((*learned, *constants),))

    def experts(self, ours: str, stored: str, spec: MoeSpec) -> Iterator[Weight]:
        names = self.names
        yield from self.router(f"{ours}moe.router", stored, spec)
        if names.expert_layout is Experts.APART:
            per_expert = [
                tuple(self.mlp(f"{ours}moe.", stored, _at_expert(names.experts, expert), spec.expert))
                for expert in range(spec.experts)
            ]
            for same in zip(*per_expert, strict=True):
                yield Weight(same[0].target, tuple(weight.groups[0] for weight in same), stacked=True)
        else:
            yield from self.joint_experts(ours, stored, spec)
        if spec.shared:
            yield from self.mlp(f"{ours}moe.shared.", stored, names.shared, spec.shared)
        if spec.shared_gate:
            gate = stored + names.shared_gate
            yield from self.linear(f"{ours}moe.shared_gate", gate, self.spec.hidden_size, 1, False)
        if spec.out_bias:
            bias = Part(stored + names.mixture_bias, (self.spec.hidden_size,), as_is)
            yield Weight(f"{ours}moe.bias", ((bias,),))

    def router(self, target: str, stored: str, spec: MoeSpec) -> Iterator[Weight]:
        router, names = spec.router, self.names
        kernel = (stored + names.router, self.spec.hidden_size, spec.experts, router.bias)
        for weight in self.linear(target, *kernel):
            yield replace(weight, strict=router.wide)
        if router.norm:
            scale = Part(stored + names.router_norm, (self.spec.hidden_size,), as_is)
            yield Weight(f"{target}_norm.scale", ((scale,),))
        if router.expert_scale:
            part = Part(stored + names.expert_scale, (spec.experts,), as_is)
            yield Weight(f"{target}.expert_scale", ((part,),))
        if router.correction:
            shape = (*(1,) * names.correction_axes, spec.experts)
            default = partial(np.zeros, shape) if names.correction_optional else None
            part = Part(stored + names.correction, shape, np.ravel, default)
            yield Weight(f"{target}.correction", ((part,),), strict=router.wide_correction)

    def joint_experts(self, ours: str, stored: str, spec: MoeSpec) -> Iterator[Weight]:
        """Experts stored in one tensor for each projection."""
        hidden, width, layout = self.spec.hidden_size, spec.expert.width, self.names.expert_layout
        flipped = layout is Experts.HALVES
        gates = apart if layout is Experts.ALTERNATING else as_is
        projections = [
            ("up", self.names.experts[1], hidden, 2 * width, spec.expert.up_bias, gates),
            ("down", self.names.experts[2], width, hidden, spec.expert.down_bias, as_is),
        ]
        for target, name, inputs, outputs, bias, convert in projections:
            shape = (spec.experts, outputs, inputs) if flipped else (spec.experts, inputs, outputs)
            kernel = Part(stored + name, shape, halves if flipped else convert)
            yield Weight(f"{ours}moe.{target}.kernel", ((kernel,),))
            if bias:
                part = Part(f"{stored}{name}_bias", (spec.experts, outputs), as_is if flipped else convert)
                yield Weight(f"{ours}moe.{target}.bias", ((part,),))

    def norm(self, target: str, stored: str, spec: NormSpec | None, size: int) -> Iterator[Weight]:
        if spec and spec.scale:
            part = Part(f"{stored}.weight", (size,), as_is)
            yield Weight(f"{target}.scale", ((part,),), wide=spec.wide)
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


#: What gives what layers with a halved residual stream add to it.
_ADDING = ("state.out.kernel", "mlp.down.kernel")


def _halved(weight: Weight, times: int) -> Weight:
    """A weight divided by 2 ** ``times``."""

    def part(stored: Part) -> Part:
        return replace(stored, convert=lambda array: np.ldexp(stored.convert(array), -times))

    return replace(weight, groups=tuple(tuple(map(part, group)) for group in weight.groups))


def _at_expert(names: tuple[str, str, str], expert: int) -> tuple[str, str, str]:
    gate, up, down = (name.format(e=expert) for name in names)
    return gate, up, down
