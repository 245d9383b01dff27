"""Mixtures of attention heads (Zhang et al. 2022): each token chooses who makes its queries, and reads them.

An expert is two projections: of the hidden state to one query for every key head, and back from what these
read. Keys and values are made once for all experts. To the attention and to the cache, a token that chooses k
of them has k queries for each key head. Products run by expert, as those of ``mixture`` do; here what stands
in a block is an assignment: a token and one of its experts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from exporter.model.attention import finished
from exporter.model.layers import Weights, linear, scoped
from exporter.model.mixture import by_blocks, in_blocks
from exporter.model.rotary import Position
from exporter.model.routing import routed
from exporter.spec import AttentionSpec, ChoiceSpec

#: What is made of the inputs of some assignments, int32 [rows] -> [rows, in].
Inputs = Callable[[tf.Tensor], tf.Tensor]


class Heads(NamedTuple):
    """The experts of each token, and what they weigh: int32 and float32 [rows, k, top_k]."""

    experts: tf.Tensor
    shares: tf.Tensor

    @property
    def last(self) -> Heads:
        """Of the last column alone."""
        return Heads(self.experts[:, -1:], self.shares[:, -1:])


def chosen_heads(x: tf.Tensor, weights: Weights, spec: AttentionSpec) -> Heads | None:
    """What the tokens of [rows, k, hidden] choose; None in an attention that is no mixture."""
    if spec.experts is None:
        return None
    tokens = tf.reshape(x, [-1, x.shape[-1]])
    shares, chosen = routed(tokens, scoped(weights, "attention."), spec.experts)
    shape = tf.concat([tf.shape(x)[:2], [spec.experts.top_k]], axis=0)
    return Heads(tf.reshape(chosen, shape), tf.reshape(shares, shape))


def project_mixed(
    heads: Heads, x: tf.Tensor, weights: Weights, spec: AttentionSpec, position: Position
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """As ``attention.project``: the queries of a key head stand side by side, in the order of the choice."""
    choice, tokens = _choice(spec), tf.reshape(x, [-1, x.shape[-1]])

    def inputs(assigned: tf.Tensor) -> tf.Tensor:
        return tf.gather(tokens, assigned // choice.top_k)

    queries = _through(inputs, heads, weights, choice, "q")
    sizes = [choice.top_k, spec.kv_heads, spec.head_dim]
    query = _swapped(queries, tf.shape(x)[:2], sizes, spec.heads * spec.head_dim)
    key, value = tf.split(linear(x, weights, "attention.kv"), 2, axis=-1)
    return finished(query, key, value, weights, spec, position)


def read_back(heads: Heads, context: tf.Tensor, weights: Weights, spec: AttentionSpec) -> tf.Tensor:
    """What the queries of each expert read, [rows, k, heads * head_dim], through it -> [rows, k, hidden]."""
    choice, columns = _choice(spec), tf.shape(context)[:2]
    sizes = [spec.kv_heads, choice.top_k, spec.head_dim]
    width = spec.kv_heads * spec.head_dim
    read = tf.reshape(_swapped(context, columns, sizes, choice.top_k * width), [-1, width])

    def inputs(assigned: tf.Tensor) -> tf.Tensor:
        return tf.gather(read, assigned)

    branches = _through(inputs, heads, weights, choice, "out")
    shape = tf.concat([columns, [choice.top_k, branches.shape[-1]]], axis=0)
    shares = tf.cast(heads.shares, context.dtype)[..., tf.newaxis]
    return tf.reduce_sum(shares * tf.reshape(branches, shape), axis=2) + weights["attention.moe.bias"]


def _choice(spec: AttentionSpec) -> ChoiceSpec:
    assert spec.experts is not None
    return spec.experts


def _swapped(x: tf.Tensor, columns: tf.Tensor, sizes: list[int], width: int) -> tf.Tensor:
    """[..., a * b * size] -> [rows, k, b * a * size]; ``sizes`` are a, b and size, ``columns`` rows and k."""
    x = tf.transpose(tf.reshape(x, tf.concat([columns, sizes], axis=0)), [0, 1, 3, 2, 4])
    return tf.reshape(x, tf.concat([columns, [width]], axis=0))


def _through(inputs: Inputs, heads: Heads, weights: Weights, choice: ChoiceSpec, name: str) -> tf.Tensor:
    """[rows * k * top_k, out]: every assignment's inputs through its expert."""
    blocks = in_blocks(tf.reshape(heads.experts, [-1, 1]), choice.experts)
    kernels = {
        own: weight for own, weight in scoped(weights, "attention.moe.").items() if own.startswith(f"{name}.")
    }

    def run(assigned: tf.Tensor, expert: tf.Tensor, own: Weights) -> tf.Tensor:
        return linear(inputs(assigned), own, name)

    bias = weights["attention.moe.bias"]  # of the model's dtype, whatever that of the kernels
    width = kernels[f"{name}.kernel"].shape[-1]
    return tf.gather(by_blocks(blocks, kernels, run, width, bias.dtype), blocks.place[:, 0])
