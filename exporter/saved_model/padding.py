"""Any number of rows of any length -> calls of a compiled function in bucket shapes only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from exporter.devices import CPU
from exporter.manifest import Buckets


def right_padded(tokens: tf.RaggedTensor, length: tf.Tensor, pad: int) -> tf.Tensor:
    """RaggedTensor int32 [batch, (length)] -> int32 [batch, length], each row at the left end."""
    dense = tokens.to_tensor(pad, shape=[None, None])
    return tf.pad(dense, [[0, 0], [0, length - tf.shape(dense)[1]]], constant_values=pad)


def left_padded(tokens: tf.RaggedTensor, length: tf.Tensor, pad: int) -> tf.Tensor:
    """RaggedTensor int32 [batch, (length)] -> int32 [batch, length], each row at the right end."""
    lengths = tf.cast(tokens.row_lengths(), tf.int32)[:, None]
    column = tf.range(length)[None, :] - (length - lengths)  # [batch, length]; < 0 in the padding
    dense = right_padded(tokens, length, pad)
    return tf.where(column < 0, pad, tf.gather(dense, tf.maximum(column, 0), batch_dims=1))


def smallest_bucket(sizes: tuple[int, ...], needed: tf.Tensor) -> tf.Tensor:
    """The smallest of the increasing ``sizes`` that holds int32 ``needed`` (which the last one does)."""
    return tf.gather(sizes, tf.searchsorted(tf.constant(sizes), needed[None], side="left")[0])


def pad_batch(tensor: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    """Appends ``count`` rows of zeros (False, 0)."""
    shape = tf.concat([count[None], tf.shape(tensor)[1:]], axis=0)
    return tf.concat([tensor, tf.zeros(shape, tensor.dtype)], axis=0)


def map_in_buckets(
    compiled: Callable[..., Any],
    output_specs: dict[str, tf.TensorSpec],
    tokens: tf.RaggedTensor,
    per_row: dict[str, tf.Tensor],
    *,
    live: tf.Tensor,
    buckets: Buckets,
    pad_token_id: int,
    pad_left: bool = True,
) -> dict[str, tf.Tensor]:
    """Runs ``compiled`` over all rows: chunks of the largest batch bucket, the rest in the smallest fit.

    Args:
      compiled: ``(tokens int32 [B, L] padded, lengths int32 [B], live bool [B], per_row dict of [B])``
        -> dict of tensors whose dim 0 is B; (B, L) is always a bucket. A row has at least one token.
      output_specs: what it returns; all dimensions but the first static.
      tokens: RaggedTensor int32 [batch, (length)], rows no longer than the longest bucket.
      per_row: [batch] tensors, passed on by name.
      live: bool [batch]; rows that are not live (errors, padding) are finished from the start.
      buckets: the shapes.
      pad_token_id: fills the padding.
      pad_left: decoder prompts are padded on the left, encoder inputs on the right.

    Returns:
      The outputs of all rows, in order; an empty batch answers empty.
    """
    largest = buckets.batch_sizes[-1]
    pad = left_padded if pad_left else right_padded
    with tf.device(CPU):
        batch = tf.cast(tokens.nrows(), tf.int32)

    def run_chunk(start: tf.Tensor, done: dict[str, tf.Tensor]) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        with tf.device(CPU):
            chunk = tokens[start : start + largest]
            rows = tf.minimum(largest, batch - start)
            lengths = tf.maximum(tf.cast(chunk.row_lengths(), tf.int32), 1)
            length = smallest_bucket(buckets.prompt_lengths, tf.reduce_max(lengths))
            padding = smallest_bucket(buckets.batch_sizes, rows) - rows
            arguments = (
                pad_batch(pad(chunk, length, pad_token_id), padding),
                pad_batch(lengths - 1, padding) + 1,
                pad_batch(live[start : start + rows], padding),
                {name: pad_batch(value[start : start + rows], padding) for name, value in per_row.items()},
            )
        answer = compiled(*arguments)
        with tf.device(CPU):
            joined = {name: tf.concat([done[name], answer[name][:rows]], axis=0) for name in done}
            return start + rows, joined

    with tf.device(CPU):
        empty = {name: tf.zeros([0, *spec.shape[1:]], spec.dtype) for name, spec in output_specs.items()}
    invariants = {name: tf.TensorShape([None, *spec.shape[1:]]) for name, spec in output_specs.items()}
    _, outputs = tf.while_loop(
        lambda start, _: start < batch,
        run_chunk,
        [tf.constant(0), empty],
        shape_invariants=[tf.TensorShape([]), invariants],
        parallel_iterations=1,
    )
    return outputs
