"""Every row is in one call, of its own length bucket, beside rows that take as long."""

from __future__ import annotations

import random

from exporter.batch.batches import batches


def test_a_call_has_rows_of_one_bucket_and_only_the_last_of_a_bucket_is_not_full() -> None:
    draw = random.Random(3)
    lengths = [draw.randint(1, 40) for _ in range(101)]
    calls = batches(lengths, [5] * len(lengths), (8, 16, 32), 4)
    assert sorted(place for call in calls for place in call) == list(range(101))
    own = [{sum(lengths[place] > bucket for bucket in (8, 16, 32)) for place in call} for call in calls]
    assert all(len(found) == 1 for found in own)
    numbers = [number for (number,) in own]
    assert numbers == sorted(numbers, reverse=True)  # 3: longer than every bucket
    for number in range(4):
        sizes = [len(call) for call, found in zip(calls, numbers, strict=True) if found == number]
        assert set(sizes[:-1]) <= {4}, sizes


def test_answers_of_like_length_share_a_call() -> None:
    new_tokens = [1, 9, 1, 9, 1, 9]
    assert batches([3] * 6, new_tokens, (8,), 3) == [[1, 3, 5], [0, 2, 4]]


def test_no_rows_make_no_call() -> None:
    assert batches([], [], (8,), 3) == []
