"""State beside keys and values: what layers without attention carry from token to token.

A layer's state has the same size however long a row is. It is of two parts, either of which a mechanism may
lack: the newest inputs of a causal convolution, and a memory that every token decays and adds to:

    window    [rows, kernel - 1, channels]    in the model's dtype, the newest token last
    memory    [rows, ...]                     float32

The states of layers that run as one loop (``exporter.model.runs``) are stacked behind the rows,
[rows, layers, ...]: what moves rows is the same for both.

Prompts are read in chunks (``scanned``): one loop whose body is compiled once, whatever the length. Padding
leaves no trace: a column without a token neither decays a memory nor adds to it, and of the window of a row's
first token only what was baked is not zero.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from exporter.model.layers import ACTIVATIONS, Weights
from exporter.model.xla_ops import update_entry
from exporter.spec import Activation, StateSpec

#: The axis that counts the layers where their states are stacked.
STACK_AXIS = 1


class State(NamedTuple):
    """What one layer carries; see the module. ``memory`` is () where there is none."""

    window: tf.Tensor
    memory: Any = ()


def empty_state(spec: StateSpec, rows: tf.Tensor, dtype: tf.DType, layers: int | None = None) -> State:
    """Of rows that have read nothing; of so many layers, stacked."""
    begin = [rows] if layers is None else [rows, layers]
    window = tf.zeros([*begin, *spec.window], dtype)
    return State(window, () if spec.memory is None else tf.zeros([*begin, *spec.memory]))


def begun(spec: StateSpec, x: tf.Tensor, baked: State | None) -> State:
    """What the rows of ``x`` start from: the state of a baked prefix ([1, ...]), or nothing."""
    rows = tf.shape(x)[0]
    if baked is None:
        return empty_state(spec, rows, x.dtype)
    return tf.nest.map_structure(  # type: ignore[no-any-return]
        lambda part: tf.broadcast_to(part, tf.concat([[rows], tf.shape(part)[1:]], axis=0)), baked
    )


def convolved(
    x: tf.Tensor,
    weights: Weights,
    window: tf.Tensor,
    real: tf.Tensor | None,
    activation: Activation | None = None,
) -> tuple[tf.Tensor, tf.Tensor]:
    """A causal convolution of each channel by itself, with the weights ``state.conv``.

    Args:
      x: [rows, k, channels].
      window: [rows, kernel - 1, channels], the inputs before ``x``.
      real: bool [rows, k], columns that hold a token, the last ones of each row; None: all do.
      activation: of the result.

    Returns:
      [rows, k, channels], rounded before the activation and behind it, and the new window.
    """
    taps = tf.cast(weights["state.conv.taps"], tf.float32)  # [kernel, channels]
    kernel, k = taps.shape[0], tf.shape(x)[1]
    inputs = preceded(x, window, real)
    wide = tf.cast(inputs, tf.float32)
    total = tf.add_n([wide[:, tap : tap + k] * taps[tap] for tap in range(kernel)])
    if "state.conv.bias" in weights:
        total += tf.cast(weights["state.conv.bias"], tf.float32)
    total = tf.cast(total, x.dtype)
    if activation is not None:
        total = activated(total, activation)
    return total, tf.ensure_shape(inputs[:, k:], [None, kernel - 1, taps.shape[1]])


def preceded(x: tf.Tensor, window: tf.Tensor, real: tf.Tensor | None) -> tf.Tensor:
    """[rows, kernel - 1 + k, channels]: each row's window right before its first token, zeros before that.

    Arguments as of ``convolved``.
    """
    if real is None:
        return tf.concat([window, x], axis=1)
    width, padding = window.shape[1], tf.reduce_sum(tf.cast(~real, tf.int32), axis=1, keepdims=True)
    inputs = tf.where(real[:, :, tf.newaxis], x, tf.zeros_like(x))
    inputs = tf.pad(inputs, [[0, 0], [width, 0], [0, 0]])
    place = tf.range(tf.shape(inputs)[1]) - padding  # [rows, kernel - 1 + k]
    for slot in range(width):
        here = (place == slot)[:, :, tf.newaxis]
        inputs = tf.where(here, window[:, slot : slot + 1], inputs)
    return inputs


def activated(x: tf.Tensor, activation: Activation) -> tf.Tensor:
    """Computed in float32 and rounded to the dtype of ``x``."""
    return tf.cast(ACTIVATIONS[activation](tf.cast(x, tf.float32)), x.dtype)


def masked(x: tf.Tensor, real: tf.Tensor | None) -> tf.Tensor:
    """[rows, k, ...] with zeros in the columns without a token; see ``convolved``."""
    if real is None:
        return x
    shape = tf.concat([tf.shape(real), tf.ones([len(x.shape) - 2], tf.int32)], axis=0)
    return tf.where(tf.reshape(real, shape), x, tf.zeros_like(x))


def scanned(
    step: Callable[..., tuple[tf.Tensor, tf.Tensor]],
    memory: tf.Tensor,
    inputs: tuple[tf.Tensor, ...],
    output: tuple[int, ...],
    size: int,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Reads columns chunk by chunk: a loop of as many turns as the shapes tell.

    Args:
      step: (memory, chunk of each input) -> (output [rows, chunk, *output], memory).
      memory: [rows, ...].
      inputs: float32 [rows, length, ...]; a column of zeros must change nothing, since columns are added on
        the left, up to whole chunks.
      output: the shape of a column's output.
      size: columns of a chunk at most.

    Returns:
      float32 [rows, length, *output], and the memory.
    """
    rows, length = tf.shape(inputs[0])[0], tf.shape(inputs[0])[1]
    columns = tf.minimum(length, size)
    chunks = [_in_chunks(x, columns) for x in inputs]
    count = tf.shape(chunks[0])[0]

    def body(index: tf.Tensor, memory: tf.Tensor, outputs: tf.Tensor) -> tuple[tf.Tensor, ...]:
        made, after = step(memory, *(tf.gather(x, index) for x in chunks))
        after.set_shape(memory.shape)
        return index + 1, after, update_entry(outputs, made, index)

    outputs = tf.zeros([count, rows, columns, *output])
    _, memory, outputs = tf.while_loop(lambda index, *_: index < count, body, (0, memory, outputs))
    # [chunks, rows, columns, *output] -> [rows, length, *output]
    outputs = tf.reshape(_swapped(outputs), [rows, count * columns, *output])
    return outputs[:, count * columns - length :], memory


def _in_chunks(x: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
    """[rows, length, ...] -> [chunks, rows, columns, ...]."""
    rest = x.shape[2:].as_list()
    x = tf.pad(x, [[0, 0], [-tf.shape(x)[1] % columns, 0], *[[0, 0]] * len(rest)])
    return _swapped(tf.reshape(x, [tf.shape(x)[0], tf.shape(x)[1] // columns, columns, *rest]))


def _swapped(x: tf.Tensor) -> tf.Tensor:
    """The first two axes exchanged."""
    return tf.transpose(x, [1, 0, *range(2, len(x.shape))])


def by_head(x: tf.Tensor) -> tf.Tensor:
    """[rows, columns, heads, n] -> [rows * heads, columns, n]; without n likewise."""
    x = tf.transpose(x, [0, 2, 1, *range(3, len(x.shape))])
    return tf.reshape(x, tf.concat([[-1], tf.shape(x)[2:]], axis=0))


def by_column(x: tf.Tensor, heads: int) -> tf.Tensor:
    """[rows * heads, columns, n] -> [rows, columns, heads, n]."""
    split = tf.reshape(x, [-1, heads, tf.shape(x)[1], x.shape[2]])
    return tf.transpose(split, [0, 2, 1, 3])


def decays(steps: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """What a chunk's columns have decayed, from the logarithm of each one's own decay.

    Args:
      steps: float32 [n, columns], at most 0.

    Returns:
      Logarithms [n, columns] since the chunk began, the column's own included; and factors
      [n, columns, columns] from a column (last axis) to one that is not before it, else 0.
    """
    total = tf.cumsum(steps, axis=1)
    order = tf.range(tf.shape(steps)[1])
    after = order[:, tf.newaxis] >= order
    between = tf.where(after, total[:, :, tf.newaxis] - total[:, tf.newaxis], 0.0)
    return total, tf.where(after, tf.exp(between), 0.0)
