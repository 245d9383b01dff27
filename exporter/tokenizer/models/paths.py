"""What the models share: following pointers through a stream, and cutting a stream into rows."""

from __future__ import annotations

import tensorflow as tf

from exporter.tokenizer.tables import on_cpu


def follow(following: tf.Tensor, starts: tf.Tensor) -> tf.Tensor:
    """Marks every place that is reached from ``starts``, in a logarithmic number of steps.

    Args:
      following: int32[places], where each place leads; a path ends at a place that leads to itself.
      starts: int32[n].

    Returns:
      bool[places], the starts and the paths' ends included.
    """

    def step(reached: tf.Tensor, jump: tf.Tensor, _: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        # `jump` goes 2^k places on, and everything less than 2^k places from a start is marked.
        targets = tf.gather(jump, tf.where(reached))
        reached = tf.tensor_scatter_nd_update(reached, targets, tf.ones_like(targets[:, 0], tf.bool))
        farther = tf.gather(jump, jump)
        return reached, farther, tf.reduce_any(tf.not_equal(farther, jump))

    reached = tf.tensor_scatter_nd_update(
        tf.zeros_like(following, tf.bool), starts[:, None], tf.ones_like(starts, tf.bool)
    )
    marked, _, _ = tf.while_loop(
        lambda reached, jump, moving: moving,
        on_cpu(step),
        (reached, following, tf.constant(True)),
    )
    return marked


def cut_rows(ids: tf.Tensor, end: int, whole: tf.Tensor) -> tf.RaggedTensor:
    """Rows of a stream of ids.

    Args:
      ids: int32[places]: ids, ``end`` after each of the n rows, and negative values, which are left out.
      end: the end mark.
      whole: int32[n]; an id (0 or more) is added to its row in place of the end mark.

    Returns:
      RaggedTensor int32 [n, (ids)].
    """
    ends = tf.where(tf.equal(ids, end))
    ids = tf.tensor_scatter_nd_update(ids, ends, whole)
    kept = ids >= 0
    counts = tf.gather(tf.cumsum(tf.cast(kept, tf.int64)), ends[:, 0])
    splits = tf.concat([tf.zeros([1], tf.int64), counts], 0)
    return tf.RaggedTensor.from_row_splits(tf.boolean_mask(ids, kept), splits, validate=False)
