"""What a layer's branches read of the residual stream, and how they join it, as ``Block`` says."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import tensorflow as tf

from exporter.model.altup import active, add_behind, corrected, predicted, read_behind
from exporter.model.attention import Segment, attend, project_query
from exporter.model.laurel import laurel
from exporter.model.layers import Weights, linear, mlp, norm, plain, times
from exporter.model.mixture import mixture
from exporter.spec import (
    AttentionSpec,
    BesideSpec,
    Block,
    ChannelMixSpec,
    LayerSpec,
    MlpSpec,
    MoeSpec,
    StateSpec,
)


class Mixer(NamedTuple):
    """What brings the columns of a layer together: functions of a spec and of the normalised input.

    ``channels``: a channel mix, once the state has been there.
    """

    attention: Callable[[AttentionSpec, tf.Tensor], tf.Tensor]
    state: Callable[[StateSpec, tf.Tensor], tf.Tensor]
    channels: Callable[[tf.Tensor], tf.Tensor]

    def branch(self, spec: LayerSpec, normed: tf.Tensor) -> tf.Tensor | None:
        """The sum of both; None in a layer that has neither."""
        found = [self.state(spec.state, normed)] if spec.state else []
        found += [self.attention(spec.attention, normed)] if spec.attention else []
        return sum(found[1:], found[0]) if found else None

    def fed(
        self, x: tf.Tensor, weights: Weights, spec: MlpSpec | MoeSpec | ChannelMixSpec | None
    ) -> tf.Tensor | None:
        """The feed-forward block, [rows, k, hidden] -> the same; None in a layer without."""
        if spec is None:
            return None
        if isinstance(spec, ChannelMixSpec):
            return self.channels(x)
        return mixture(x, weights, spec) if isinstance(spec, MoeSpec) else mlp(x, weights, spec, "mlp.")


def through(
    spec: LayerSpec,
    weights: Weights,
    x: tf.Tensor,
    mixer: Mixer,
    own_input: tf.Tensor | None,
    memory: Segment | None,
    copies: int,
    positions: slice,
) -> tf.Tensor:
    """The residual stream behind a layer, of one part or several.

    ``positions`` are those that its branches go on with; where they are not all, the last one leaves it.
    """
    around = partial(_around, spec, weights, mixer=mixer, memory=memory, copies=copies, positions=positions)
    last = positions if positions == slice(None) else slice(-1, None)
    own_input = None if own_input is None else own_input[:, last]
    if spec.altup is None:
        return _finished(spec, weights, around(x)[:, last], own_input)
    x = predicted(spec.altup, weights, x)
    computed = around(active(spec.altup, x))[:, last]
    return _finished(spec, weights, corrected(spec.altup, weights, x[:, last], computed), own_input)


def _around(
    spec: LayerSpec,
    weights: Weights,
    x: tf.Tensor,
    mixer: Mixer,
    memory: Segment | None,
    copies: int,
    positions: slice,
) -> tf.Tensor:
    """Adds every branch to the residual stream, of which ``positions`` go on."""
    if spec.block is Block.POST_NORM:
        x = norm(_sum(x[:, positions], mixer.branch(spec, x)), weights, "attention_norm", spec.attention_norm)
        x = _read_memory(spec, weights, x, memory, copies)
        return norm(_sum(x, mixer.fed(x, weights, spec.mlp)), weights, "mlp_norm", spec.mlp_norm)
    normed, x = _normed(spec, weights, x)
    branch = mixer.branch(spec, normed)
    x, normed = x[:, positions], normed[:, positions]
    if branch is not None:
        branch = norm(branch, weights, "attention_out_norm", spec.attention_out_norm)
    if spec.block is Block.PARALLEL:
        other = norm(x, weights, "mlp_norm", spec.mlp_norm) if spec.mlp_norm else normed
        return _sum(x, branch, mixer.fed(other, weights, spec.mlp), scale=spec.residual_scale)
    x = _sum(normed if spec.block is Block.NORMED_RESIDUAL else x, branch, scale=spec.residual_scale)
    x = laurel(spec.laurel, weights, x, normed)
    x = _read_memory(spec, weights, x, memory, copies)
    normed = norm(x, weights, "mlp_norm", spec.mlp_norm)
    fed = mixer.fed(normed, weights, spec.mlp)
    if fed is not None and spec.beside is not None:
        fed = _beside(x, fed, weights, spec.beside)
    if fed is not None:
        fed = norm(fed, weights, "mlp_out_norm", spec.mlp_out_norm)
    return _sum(normed if spec.block is Block.NORMED_RESIDUAL else x, fed, scale=spec.residual_scale)


def _beside(x: tf.Tensor, fed: tf.Tensor, weights: Weights, spec: BesideSpec) -> tf.Tensor:
    """The sum of a dense block's output and of the mixture beside it, each normalised."""
    normed = norm(x, weights, "beside_norm", spec.norm)
    mixed_in = norm(mixture(normed, weights, spec.mixture, x), weights, "beside_out_norm", spec.norm)
    return norm(fed, weights, "mlp_beside_norm", spec.norm) + mixed_in


def _finished(spec: LayerSpec, weights: Weights, x: tf.Tensor, own_input: tf.Tensor | None) -> tf.Tensor:
    """What comes behind the branches: that of the per-layer embeddings, and factors."""
    branch = spec.layer_input
    if branch is not None:
        gate = linear(read_behind(spec.altup, weights, x), weights, "layer_input.gate")
        inner = plain(branch.activation, gate) * own_input
        added = norm(linear(inner, weights, "layer_input.out"), weights, "layer_input_norm", branch.norm)
        x = add_behind(spec.altup, x, added)
    x = x * weights["scaled"] if spec.scaled else x
    return x * 0.5 if spec.halved else x


def _normed(spec: LayerSpec, weights: Weights, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """What the first branch reads, and the residual stream."""
    if not spec.wide_residual:
        return norm(x, weights, "attention_norm", spec.attention_norm), x
    rounded = tf.cast(x, weights["attention_norm.scale"].dtype)
    return norm(rounded, weights, "attention_norm", spec.attention_norm), tf.cast(x, tf.float32)


def _sum(x: tf.Tensor, *branches: tf.Tensor | None, scale: float = 1.0) -> tf.Tensor:
    """``x`` and the branches there are, each times ``scale``; in the wider dtype, where one is in float32."""
    for branch in branches:
        if branch is not None:
            dtype = x.dtype if branch.dtype == x.dtype else tf.float32
            x = tf.cast(x, dtype) + tf.cast(times(branch, scale), dtype)
    return x


def _read_memory(
    spec: LayerSpec, weights: Weights, x: tf.Tensor, memory: Segment | None, copies: int
) -> tf.Tensor:
    """Adds the cross-attention of a decoder layer to the residual stream; nothing in other layers."""
    attention = spec.cross_attention
    if memory is None or attention is None:
        return x

    def branch(x: tf.Tensor) -> tf.Tensor:
        query = project_query(x, weights, attention)
        return linear(attend(query, [(memory, copies)], attention, weights), weights, "cross.out")

    if spec.block is Block.POST_NORM:
        return norm(_sum(x, branch(x)), weights, "cross_norm", spec.cross_norm)
    read = branch(norm(x, weights, "cross_norm", spec.cross_norm))
    read = norm(read, weights, "cross_out_norm", spec.cross_out_norm)
    return _sum(x, read, scale=spec.residual_scale)
