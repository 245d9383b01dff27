"""Bytes of a bucket, and the largest batch that a GPU holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from exporter.capacity.subject import Subject
from serving_configs.gpu_memory import RUNTIME_BYTES, estimated_bytes

#: Larger batches are not looked for.
MOST_ROWS = 1 << 16

Source = Literal["measured", "from measured", "measured on cpu", "from measured on cpu", "estimated"]


@dataclass(frozen=True)
class Bucket:
    """A compiled shape's bytes: ``total_bytes`` is what a version with it as its largest needs.

    Attributes:
      source: of the bytes beside the weights: "measured" by ``genserve warm``; "from measured": between or
        beyond measured batch sizes, in a straight line; "on cpu" behind either: not on a GPU, but more than
        the estimate; "estimated": keys and values, with a part for temporaries.
    """

    batch_size: int
    prompt_length: int
    weights_bytes: int
    cache_bytes: int
    temporary_bytes: int
    source: Source

    @property
    def total_bytes(self) -> int:
        return self.weights_bytes + self.cache_bytes + self.temporary_bytes


def bucket_of(subject: Subject, rows: int, length: int) -> Bucket:
    """A bucket of any batch size, compiled or not."""
    cache = rows * subject.row_bytes[length]
    points = {size: count for (size, other), count in subject.measured.items() if other == length}
    estimate = estimated_bytes(subject.weights_bytes, cache)
    beside, source = _beside(subject, points, rows, estimate)
    kept = min(cache, beside)  # a measured program may share buffers that the sum counts twice
    return Bucket(rows, length, subject.weights_bytes, kept, beside - kept, source)


def _beside(subject: Subject, points: dict[int, int], rows: int, estimate: int) -> tuple[int, Source]:
    """Bytes beside the weights, and where they come from; ``points`` are measured, by batch size."""
    if not points:
        return estimate, "estimated"
    measured = round(_on_line(points, rows))
    if subject.measured_on == "gpu":
        return measured, "measured" if rows in points else "from measured"
    if measured < estimate:
        return estimate, "estimated"
    return measured, "measured on cpu" if rows in points else "from measured on cpu"


def _on_line(points: dict[int, int], rows: int) -> float:
    """Between or beyond measured points, in a straight line that never falls.

    A single point is the least of smaller batches, and grows in proportion for larger ones.
    """
    sizes = sorted(points)
    if rows in points:
        return points[rows]
    if len(sizes) == 1:
        return points[sizes[0]] * max(1.0, rows / sizes[0])
    above = next((place for place, size in enumerate(sizes) if size > rows), len(sizes) - 1)
    low, high = sizes[max(above, 1) - 1], sizes[max(above, 1)]
    slope = max(0.0, (points[high] - points[low]) / (high - low))
    return max(points[low] + slope * (rows - low), 0.0 if rows > low else points[sizes[0]] * rows / sizes[0])


def needed_bytes(bucket: Bucket, versions: int = 1) -> int:
    """Of so many versions at once, with the runtime's own."""
    return versions * bucket.total_bytes + RUNTIME_BYTES


def largest_batch(subject: Subject, length: int, gpu_bytes: int, versions: int = 1) -> int:
    """The most rows of a length bucket with which ``versions`` versions fit; 0 where one row does not."""
    fits, too_many = 0, MOST_ROWS + 1
    while too_many - fits > 1:
        middle = (fits + too_many) // 2
        if needed_bytes(bucket_of(subject, middle, length), versions) <= gpu_bytes:
            fits = middle
        else:
            too_many = middle
    return fits


def fraction(needed: int, gpu_bytes: int) -> float | None:
    """The share of the GPU to give to the server, rounded up to 0.01; None where it does not fit."""
    return -(-needed * 100 // gpu_bytes) / 100 if needed <= gpu_bytes else None
