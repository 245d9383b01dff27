"""Bucket padding: only bucket shapes reach the compiled function, and padding changes nothing."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import tensorflow as tf

from exporter.manifest import Buckets
from exporter.saved_model.padding import left_padded, map_in_buckets

BUCKETS = Buckets(prompt_lengths=(2, 5), batch_sizes=(1, 3))
PAD = 9


def test_left_padding() -> None:
    tokens = tf.ragged.constant([[1, 2, 3], [], [4]], dtype=tf.int32)
    np.testing.assert_array_equal(
        left_padded(tokens, tf.constant(4), PAD), [[9, 1, 2, 3], [9, 9, 9, 9], [9, 9, 9, 4]]
    )


class _Recorder:
    """Stands for the compiled function: notes the shapes it is called with, answers each row's sum."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []
        self.live: list[list[bool]] = []

    def __call__(
        self, tokens: tf.Tensor, lengths: tf.Tensor, live: tf.Tensor, per_row: dict[str, tf.Tensor]
    ) -> dict[str, tf.Tensor]:
        self.shapes.append(tuple(tokens.shape))
        self.live.append(live.numpy().tolist())
        mask = tf.range(tokens.shape[1])[None, :] >= tokens.shape[1] - lengths[:, None]
        total = tf.reduce_sum(tf.where(mask, tokens, 0), axis=1) + per_row["extra"]
        return {"total": total, "pair": tf.stack([total, lengths], axis=1)}


@pytest.mark.parametrize(
    ("lengths", "shapes"),
    [
        ([], []),
        ([1], [(1, 2)]),
        ([3], [(1, 5)]),
        ([2, 2], [(3, 2)]),
        ([1, 5, 2], [(3, 5)]),
        ([1, 2, 1, 4], [(3, 2), (1, 5)]),
        ([5, 1, 1, 1, 1, 2, 2, 3], [(3, 5), (3, 2), (3, 5)]),
        ([0, 2], [(3, 2)]),
        ([0], [(1, 2)]),
    ],
)
def test_only_buckets_are_called_and_rows_keep_their_order(
    lengths: list[int], shapes: list[tuple[int, ...]]
) -> None:
    rng = np.random.default_rng(0)
    rows = [rng.integers(10, 100, n).tolist() for n in lengths]
    recorder = _Recorder()
    extra = np.arange(len(rows), dtype=np.int32)
    answer = map_in_buckets(
        recorder,
        {"total": tf.TensorSpec([None], tf.int32), "pair": tf.TensorSpec([None, 2], tf.int32)},
        tf.RaggedTensor.from_row_lengths(
            tf.constant(list(itertools.chain(*rows)), tf.int32), tf.constant(lengths, tf.int64)
        ),
        {"extra": tf.constant(extra)},
        live=tf.constant([n > 0 for n in lengths], tf.bool),
        buckets=BUCKETS,
        pad_token_id=PAD,
    )
    assert recorder.shapes == shapes
    # An empty row goes in as one pad token that is not live.
    expected = [sum(row) + i if row else PAD + i for i, row in enumerate(rows)]
    assert answer["total"].numpy().tolist() == expected
    assert answer["pair"].shape == (len(rows), 2)
    assert [flag for chunk in recorder.live for flag in chunk].count(True) == sum(n > 0 for n in lengths)
