"""Seconds of a batch at the limits of memory bandwidth and arithmetic, and how near to them it runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from exporter.capacity.subject import Subject

Source = Literal["stated", "measured", "limit"]


@dataclass(frozen=True)
class Limits:
    """What a GPU can do at most.

    Attributes:
      bandwidth: bytes a second.
      flops: operations a second of the model's dtype; None: not counted.
      efficiency: the part of it that is reached; ``source`` says how that is known ("limit": it is not, and
        1 is taken).
    """

    bandwidth: float
    flops: float | None = None
    efficiency: float = 1.0
    source: Source = "limit"


def pass_seconds(subject: Subject, limits: Limits, rows: int, length: int, tokens: int) -> float:
    """One run of the model over ``tokens`` tokens of each row.

    Every weight is read once, and the bucket's whole buffers of keys and values; a token costs two operations
    for each parameter.
    """
    reading = (subject.weights_bytes + rows * subject.row_bytes[length]) / limits.bandwidth
    counting = 2 * subject.parameters * rows * tokens / limits.flops if limits.flops else 0.0
    return max(reading, counting) / limits.efficiency


def batch_seconds(subject: Subject, limits: Limits, rows: int, length: int, new_tokens: int) -> float:
    """A batch from its prompts (padded to ``length``) to the last of its tokens."""
    first = pass_seconds(subject, limits, rows, length, length)
    return first + (new_tokens - 1) * pass_seconds(subject, limits, rows, length, subject.copies)


def tokens_per_second(subject: Subject, limits: Limits, rows: int, length: int) -> float:
    """New tokens while a full batch generates, all rows together; of beams and sequences one counts."""
    return rows / pass_seconds(subject, limits, rows, length, subject.copies)


def measured_efficiency(subject: Subject, limits: Limits) -> float | None:
    """The limit's seconds of a full batch in the longest bucket over those that ``genserve warm`` measured.

    None where nothing was measured on a GPU, or it was faster than the limit: on another card, or its answers
    ended early.
    """
    if not subject.batch_seconds:
        return None
    rows, length = subject.batch_sizes[-1], subject.prompt_lengths[-1]
    least = batch_seconds(subject, limits, rows, length, subject.max_new_tokens)
    return least / subject.batch_seconds if least <= subject.batch_seconds else None
