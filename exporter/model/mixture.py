"""Mixtures of experts: tokens sorted by expert, then products of blocks that need one expert each.

A token and one of its experts are an assignment. Assignments are sorted by expert, and every expert's part is
filled up to whole blocks, so that an expert costs what its own tokens cost. There are no capacities: no token
loses an expert, and what a token gets does not depend on the others.

Example: three tokens choose experts (2, 0), (2, 1), (2, 0) of three, blocks have two rows. Sorted, experts 0,
1 and 2 have tokens (0, 2), (1) and (0, 1, 2): blocks 0 2 | 1 . | 0 1 | 2 . of experts 0, 1, 2, 2.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import tensorflow as tf

from exporter.model.layers import Weights, in_float32, linear, mlp, times
from exporter.model.routing import routed
from exporter.model.xla_ops import update_entry
from exporter.spec import MlpSpec, MoeSpec
from exporter.targets import current_target

# Rows of a block: an expert's mean share of the tokens, within these limits. A block reads its expert's
# weights, so that tiny ones are no cheaper. One row alone never: for it XLA:CPU fuses the choice of a kernel
# into the product and then reads the kernel by column, twenty times slower.
_FEWEST, _MOST = 16, 128

_EXPERT_WEIGHTS = frozenset(
    f"moe.{name}.{part}" for name in ("up", "down") for part in ("kernel", "kernel_scale", "bias")
)


class Blocks(NamedTuple):
    """Assignments in blocks of equal size, one expert a block.

    Attributes:
      expert: int32 [blocks].
      token: int32 [blocks, rows], any token where a block is not full.
      place: int32 [tokens, top_k], where each assignment stands among all blocks' rows.
      used: int32 [], blocks that hold anything; they come first.
    """

    expert: tf.Tensor
    token: tf.Tensor
    place: tf.Tensor
    used: tf.Tensor


def mixture(x: tf.Tensor, weights: Weights, spec: MoeSpec, by: tf.Tensor | None = None) -> tf.Tensor:
    """[rows, k, hidden] -> [rows, k, hidden]; ``by`` is what the router reads, None: ``x``."""
    tokens = tf.reshape(x, [-1, x.shape[-1]])  # [rows, k, hidden] -> [tokens, hidden]
    read = tokens if by is None else tf.reshape(by, [-1, x.shape[-1]])
    shares, chosen = routed(read, weights, spec)
    shares, blocks = tf.cast(shares, x.dtype), in_blocks(chosen, spec.experts)
    factors = _by_expert(shares, chosen, spec.experts) if spec.router.on_input else None
    kernels = {name: value for name, value in weights.items() if name in _EXPERT_WEIGHTS}
    run = partial(_fed, tokens, factors, spec.expert)
    products = by_blocks(blocks, kernels, run, tokens.shape[1], tokens.dtype)
    branches = tf.gather(products, blocks.place)
    # [tokens, top_k, hidden] -> [tokens, hidden]
    output = tf.reduce_sum(branches if spec.router.on_input else shares[:, :, tf.newaxis] * branches, axis=1)
    output = tf.reshape(output, tf.shape(x))
    if spec.shared:
        branch = mlp(x, weights, spec.shared, "moe.shared.")
        output += _shared_gate(x, weights) * branch if spec.shared_gate else branch
    if spec.out_bias:
        output += weights["moe.bias"]
    return times(output, spec.scale)


def _shared_gate(x: tf.Tensor, weights: Weights) -> tf.Tensor:
    """[rows, k, 1]: how much of the shared expert a token takes."""
    return in_float32(tf.sigmoid, linear(x, weights, "moe.shared_gate"))


def _by_expert(shares: tf.Tensor, chosen: tf.Tensor, experts: int) -> tf.Tensor:
    """[tokens, top_k] -> [tokens, experts], with 0 for experts that are not chosen."""
    return tf.reduce_sum(tf.one_hot(chosen, experts, dtype=shares.dtype) * shares[:, :, tf.newaxis], axis=1)


def in_blocks(chosen: tf.Tensor, experts: int) -> Blocks:
    """Sorts assignments, int32 [tokens, top_k], by expert.

    The number of blocks follows from the shapes alone: at most ``some = min(experts, assignments)`` experts
    begin a block, and only the other assignments can fill further ones.
    """
    tokens, assigned = tf.shape(chosen)[0], tf.size(chosen)
    rows = tf.minimum(tf.clip_by_value(assigned // experts, _FEWEST, _MOST), tf.maximum(tokens, 2))
    some = tf.minimum(experts, assigned)
    count = some + (assigned - some) // rows
    flat = tf.reshape(chosen, [-1])
    order = tf.argsort(flat, stable=True)
    held = tf.reduce_sum(tf.one_hot(flat, experts, dtype=tf.int32), axis=0)  # [experts], assignments
    first = tf.cumsum(held, exclusive=True)
    ends = tf.cumsum((held + rows - 1) // rows)  # in blocks
    begins = ends - (held + rows - 1) // rows
    # An assignment's row: its expert's first one, and its rank among the expert's assignments.
    place = tf.argsort(order) + tf.gather(begins * rows - first, flat)
    expert = tf.reduce_sum(tf.cast(tf.range(count)[:, tf.newaxis] >= ends, tf.int32), axis=1)
    expert = tf.minimum(expert, experts - 1)
    rank = (tf.range(count) - tf.gather(begins, expert))[:, tf.newaxis] * rows + tf.range(rows)
    source = tf.minimum(tf.gather(first, expert)[:, tf.newaxis] + rank, assigned - 1)
    token = tf.gather(order, source) // chosen.shape[1]
    return Blocks(expert, token, tf.reshape(place, tf.shape(chosen)), ends[-1])


def _fed(
    tokens: tf.Tensor,
    factors: tf.Tensor | None,
    spec: MlpSpec,
    token: tf.Tensor,
    expert: tf.Tensor,
    weights: Weights,
) -> tf.Tensor:
    """[rows, hidden]: one block through its expert, whose weights are given.

    ``factors`` [tokens, experts] multiply what an expert reads; None: nothing does.
    """
    block = tf.gather(tokens, token)
    if factors is not None:
        block *= tf.gather(tf.gather(factors, token), expert, axis=1)[:, tf.newaxis]
    return mlp(block, weights, spec, "moe.")


def by_blocks(
    blocks: Blocks,
    kernels: Weights,
    run: Callable[[tf.Tensor, tf.Tensor, Weights], tf.Tensor],
    width: int,
    dtype: tf.DType,
) -> tf.Tensor:
    """[blocks * rows, width]: what ``run`` makes of every block, one after the other.

    ``run`` gets a block's tokens, its expert and that expert's part of ``kernels``. The GPU would wait for
    the host to learn how many blocks are used, and runs all.
    """
    count = tf.shape(blocks.expert)[0]
    bound = count if current_target() == "gpu" else blocks.used

    def step(index: tf.Tensor, outputs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        # Not slices: tf2xla takes a slice's begin for a constant and evaluates all that leads to it.
        token, expert = tf.gather(blocks.token, index), tf.gather(blocks.expert, index)
        own = {name: tf.gather(value, expert) for name, value in kernels.items()}
        return index + 1, update_entry(outputs, run(token, expert, own), index)

    outputs = tf.zeros(tf.concat([tf.shape(blocks.token), [width]], axis=0), dtype)
    _, outputs = tf.while_loop(lambda index, _: index < bound, step, (0, outputs))
    return tf.reshape(outputs, [-1, width])
