"""One layer: its attention or state over a prompt, and over new tokens; what is around it is ``residual``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import tensorflow as tf

from exporter.model.attention import Bias, Segment, attend, project, project_borrower
from exporter.model.bias import Sight, Text, prefix_bias, prompt_bias, source_bias
from exporter.model.blocks import Span, attend_in_blocks
from exporter.model.cache import LayerPrompt
from exporter.model.latent import attend_latent, attend_latent_in_blocks, project_latent
from exporter.model.layers import Weights, linear, times
from exporter.model.mechanisms import mixed
from exporter.model.mixed_heads import Heads, chosen_heads, project_mixed, read_back
from exporter.model.residual import Mixer, through
from exporter.model.rotary import Position
from exporter.model.runs import Entry, entry_of
from exporter.model.rwkv import channel_mix
from exporter.model.state import State, begun
from exporter.model.writing import write
from exporter.spec import AttentionSpec, ChannelMixSpec, LayerSpec, StateSpec

Project: TypeAlias = Callable[[tf.Tensor, Weights, AttentionSpec, Position], tuple[tf.Tensor, tf.Tensor, Any]]


class Way(NamedTuple):
    """What a kind of attention makes of a layer's input, and how it reads: tokens of a step, and a text.

    ``project`` gives a query, and keys and values as the cache keeps them.
    """

    project: Project
    attend: Callable[[tf.Tensor, list[tuple[Segment, int | None]], AttentionSpec, Weights], tf.Tensor]
    attend_in_blocks: Callable[[tf.Tensor, list[Span], AttentionSpec, Weights], tf.Tensor]

    @classmethod
    def of(cls, spec: AttentionSpec) -> Way:
        """The way of an attention."""
        return _LATENT if spec.latent else _PLAIN


_PLAIN = Way(project, attend, attend_in_blocks)
_LATENT = Way(project_latent, attend_latent, attend_latent_in_blocks)


def prefill_layer(
    spec: LayerSpec,
    start: int | None,
    last_only: bool,
    weights: Weights,
    x: tf.Tensor,
    position: Position,
    text: Text,
    memory: Segment | None,
    prefix: LayerPrompt | None,
    baked: State | None = None,
    lent: LayerPrompt | None = None,
    own_input: tf.Tensor | None = None,
) -> tuple[tf.Tensor, LayerPrompt | tuple[()], State | tuple[()]]:
    """The prompt attends to itself, to the baked prefix, and to what the encoder has read.

    Args:
      start: the position of the prompt's first token; None: an encoder's input, read in both directions.
      last_only: only the last position goes on (the final layer's other positions serve no one).
      x: [batch, length, hidden], with an axis of parts before the last where the stream has several.
      text: the rows of ``x``.
      memory: the layer's cross-attention, None without.
      prefix: keys and values of the baked prefix, None without.
      baked: the state that the baked prefix left, None without.
      lent: the keys and values that a layer borrows.
      own_input: [batch, length, width], the layer's part of the per-layer embeddings.

    Returns:
      The new x, keys and values [batch * kv_heads, length, head_dim], and the state; () for what the layer
      lacks.
    """
    kept: list[LayerPrompt] = []
    carried: list[State] = []
    looks_back = isinstance(spec.mlp, ChannelMixSpec)
    only = slice(-1 - looks_back, None) if last_only else slice(None)

    def attention(spec: AttentionSpec, normed: tf.Tensor) -> tf.Tensor:
        way, normed = Way.of(spec), times(normed, spec.in_scale)
        heads = chosen_heads(normed, weights, spec)
        if lent is None:
            query, key, value = _project(way, heads)(normed, weights, spec, position)
            kept.append(LayerPrompt(key, value))
        else:
            query, (key, value) = project_borrower(normed, weights, spec, position), lent
        spans = [_own_span(spec, start, text, key, value)]
        if prefix is not None and start is not None:
            spans = [_prefix_span(spec, start, text, prefix), *spans]
        if last_only:
            segments = [span.seen_by(text.length[tf.newaxis] - 1) for span in spans]
            context = way.attend(query[:, -1:], segments, spec, weights)
            return _attended(context, normed[:, -1:], weights, spec, heads and heads.last)
        return _attended(way.attend_in_blocks(query, spans, spec, weights), normed, weights, spec, heads)

    def state(spec: StateSpec, normed: tf.Tensor) -> tf.Tensor:
        columns = text.positions(tf.range(text.length))
        first = columns == 0 if baked is None else None
        branch, after = mixed(normed, weights, spec, begun(spec, normed, baked), columns >= 0, first)
        carried.append(after)
        return branch[:, only] if last_only else branch

    def channels(normed: tf.Tensor) -> tf.Tensor:
        real = text.positions(tf.range(text.length))[:, only] >= 0
        branch, carried[0] = channel_mix(normed, weights, carried[0], real)
        return branch

    x = through(spec, weights, x, Mixer(attention, state, channels), own_input, memory, 1, only)
    return x, kept[0] if kept else (), carried[0] if carried else ()


def extend_layer(
    spec: LayerSpec,
    copies: int,
    sharing: int,
    wraps: bool,
    weights: Weights,
    x: tf.Tensor,
    position: Position,
    prompt: Segment | None,
    generated: Segment | None,
    memory: Segment | None,
    prefix: Segment | None,
    before: State | tuple[()],
    count: tf.Tensor,
    entry: Entry = None,
    own_input: tf.Tensor | None = None,
) -> tuple[tf.Tensor, tuple[Any, ...], State | tuple[()]]:
    """New tokens are written to the cache, then attend to the prompt and to what is generated.

    Args:
      copies: rows per prompt.
      sharing: rows per generated segment.
      wraps: the generated segment is a ring.
      x: [rows, k, hidden], or as in ``prefill_layer``.
      prompt, generated: None in a layer without attention; of a borrowing one the other layer's.
      memory: the layer's cross-attention, None without.
      prefix: the baked prefix, None without.
      before: the layer's state; () without.
      count: int32 [] or [rows], tokens generated before these.
      entry: the layer's place where ``generated`` holds those of several layers, stacked; None: its own.
      own_input: as in ``prefill_layer``.

    Returns:
      The new x, the generated keys and values, and the state; () for what the layer lacks.
    """
    written: list[Any] = []
    carried: list[State] = []

    def attention(spec: AttentionSpec, normed: tf.Tensor) -> tf.Tensor:
        assert prompt is not None
        assert generated is not None
        way, normed = Way.of(spec), times(normed, spec.in_scale)
        baked: list[tuple[Segment, int | None]] = [] if prefix is None else [(prefix, None)]
        if spec.borrowed is not None:
            query = project_borrower(normed, weights, spec, position)
            read = [*baked, (prompt, copies), (generated, sharing)]
            return _attended(way.attend(query, read, spec, weights), normed, weights, spec)
        heads = chosen_heads(normed, weights, spec)
        query, key, value = _project(way, heads)(normed, weights, spec, position)
        buffers = generated.keys, generated.values
        ways: Any = {"wraps": wraps, "sharing": sharing, "kv_heads": spec.kv_heads, "entry": entry}
        written.extend(write(buffers, (key, value), count, **ways))
        now = entry_of(Segment(written[0], written[1], generated.bias), entry)
        own = [(prompt, copies), (now, sharing)]
        return _attended(way.attend(query, [*baked, *own], spec, weights), normed, weights, spec, heads)

    def state(spec: StateSpec, normed: tf.Tensor) -> tf.Tensor:
        assert isinstance(before, State)
        branch, after = mixed(normed, weights, spec, before, None)
        carried.append(after)
        return branch

    def channels(normed: tf.Tensor) -> tf.Tensor:
        branch, carried[0] = channel_mix(normed, weights, carried[0], None)
        return branch

    x = through(spec, weights, x, Mixer(attention, state, channels), own_input, memory, copies, slice(None))
    return x, tuple(written), carried[0] if carried else ()


def _project(way: Way, heads: Heads | None) -> Project:
    return way.project if heads is None else partial(project_mixed, heads)


def _attended(
    context: tf.Tensor,
    normed: tf.Tensor,
    weights: Weights,
    spec: AttentionSpec,
    heads: Heads | None = None,
) -> tf.Tensor:
    """[rows, k, heads * head_dim] -> [rows, k, hidden]."""
    if heads is not None:
        return times(read_back(heads, context, weights, spec), spec.out_scale)
    if spec.gated:
        context = _gated(context, linear(normed, weights, "attention.gate"), spec)
    out = linear(context, weights, "attention.out", bias_apart=spec.bias_apart)
    return times(out, spec.out_scale)


def _gated(context: tf.Tensor, gate: tf.Tensor, spec: AttentionSpec) -> tf.Tensor:
    """[rows, k, heads * head_dim] times the sigmoid of a gate of as many numbers, or of one for each head."""
    gate = tf.cast(tf.sigmoid(tf.cast(gate, tf.float32)), context.dtype)
    if not spec.gate_by_head:
        return context * gate
    by_head = tf.reshape(context, tf.concat([tf.shape(gate), [context.shape[-1] // spec.heads]], axis=0))
    return tf.reshape(by_head * gate[..., tf.newaxis], tf.shape(context))


def _own_span(spec: AttentionSpec, start: int | None, text: Text, keys: tf.Tensor, values: Any) -> Span:
    """The text itself, as its own columns see it."""
    sight, behind = Sight.of(spec), None if spec.window is None else spec.window - 1
    if start is None:
        return Span(keys, values, partial(source_bias, sight, text), behind, behind)
    return Span(keys, values, partial(prompt_bias, sight, text, start), behind, 0)


def _prefix_span(spec: AttentionSpec, start: int, text: Text, prefix: LayerPrompt) -> Span:
    """The baked prefix, as the prompt's columns see it."""
    first = start - prefix.keys.shape[1]

    def bias(query: tf.Tensor, key: tf.Tensor) -> Bias:
        return prefix_bias(Sight.of(spec), first, text.positions(query) + start, key)

    return Span(*prefix, bias, shared=True)
