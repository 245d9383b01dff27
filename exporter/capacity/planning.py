"""The plan itself: buckets, what fits, and for a load the batch, the replicas and their cost."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from exporter.capacity.memory import Bucket, bucket_of, fraction, largest_batch, needed_bytes
from exporter.capacity.queueing import Queue, replicas_of
from exporter.capacity.simulation import play
from exporter.capacity.speed import Limits, batch_seconds, tokens_per_second
from exporter.capacity.subject import Subject
from exporter.errors import OptionError

#: A batch is not chosen larger than this: its answers take long, and few loads fill it.
MOST_CHOSEN = 256


@dataclass(frozen=True)
class Load:
    """What is asked of all replicas together; a request is one prompt.

    Attributes:
      wait: the most seconds that a request may wait, in the mean; None: those of a full batch.
    """

    requests_per_second: float
    prompt_tokens: int
    new_tokens: int
    wait: float | None = None


@dataclass(frozen=True)
class Room:
    """What fits on the GPU in one length bucket; 0 rows: none does.

    Attributes:
      rows, rows_in_rollover: the largest batch beside one version, and where two are loaded at once.
      tokens_per_second_at_limit, tokens_per_second: of the largest batch; None without a bandwidth or a row.
    """

    prompt_length: int
    rows: int
    rows_in_rollover: int
    tokens_per_second_at_limit: float | None
    tokens_per_second: float | None


@dataclass(frozen=True)
class Fleet:
    """Replicas for a load.

    Attributes:
      batch_size, prompt_length: the bucket that answers it.
      answer_seconds_95: of a simulation of one replica.
      cost_per_million: of new tokens, at this load and with every replica busy all the time.
    """

    replicas: int
    batch_size: int
    prompt_length: int
    full_batch_seconds: float
    queue: Queue
    answer_seconds_95: float
    cost_per_million: float | None
    cost_per_million_busy: float | None


@dataclass(frozen=True)
class Capacity:
    """A plan: ``report`` is what ``--json`` prints."""

    subject: Subject
    buckets: tuple[Bucket, ...]
    gpu_bytes: int | None
    limits: Limits | None
    rooms: tuple[Room, ...]
    fleet: Fleet | None
    batch_sizes: tuple[int, ...]
    prompt_lengths: tuple[int, ...]

    @property
    def largest(self) -> Bucket:
        return max(self.buckets, key=lambda bucket: bucket.total_bytes)

    def fraction(self, versions: int, bucket: Bucket | None = None) -> float | None:
        """Of the GPU, for the buckets as they are or one of them; None: no GPU, or it is too small."""
        needed = needed_bytes(bucket or self.largest, versions)
        return fraction(needed, self.gpu_bytes) if self.gpu_bytes else None

    @property
    def chosen(self) -> dict[str, Any]:
        """The buckets to export, and the share of the GPU that they take."""
        rows = self.batch_sizes[-1]
        largest = max(
            (bucket_of(self.subject, rows, length) for length in self.prompt_lengths),
            key=lambda bucket: bucket.total_bytes,
        )
        return {
            "batch_sizes": list(self.batch_sizes),
            "prompt_lengths": list(self.prompt_lengths),
            "memory_fraction": self.fraction(1, largest),
            "memory_fraction_in_rollover": self.fraction(2, largest),
        }

    def report(self) -> dict[str, Any]:
        subject = self.subject
        return {
            "name": subject.name,
            "model": subject.source,
            "dtype": subject.dtype,
            "parameters": subject.parameters,
            "weights_bytes": subject.weights_bytes,
            "copies": subject.copies,
            "max_new_tokens": subject.max_new_tokens,
            "buckets": [
                asdict(bucket)
                | {"total_bytes": bucket.total_bytes, "scaled": bucket.prompt_length in subject.scaled}
                for bucket in self.buckets
            ],
            "gpu_bytes": self.gpu_bytes,
            "needed_bytes": needed_bytes(self.largest),
            "needed_bytes_in_rollover": needed_bytes(self.largest, 2),
            "memory_fraction": self.fraction(1),
            "memory_fraction_in_rollover": self.fraction(2),
            "limits": asdict(self.limits) if self.limits else None,
            "lengths": [asdict(room) for room in self.rooms],
            "fleet": asdict(self.fleet) if self.fleet else None,
            "chosen": self.chosen,
        }


def plan_capacity(
    subject: Subject,
    gpu_bytes: int | None = None,
    limits: Limits | None = None,
    load: Load | None = None,
    price_per_hour: float | None = None,
) -> Capacity:
    """Plans for a GPU of ``gpu_bytes``; without one the buckets alone.

    Raises:
      OptionError: nothing fits, or no bucket answers the load.
    """
    buckets = tuple(
        bucket_of(subject, rows, length) for length in subject.prompt_lengths for rows in subject.batch_sizes
    )
    rooms = tuple(_room(subject, length, gpu_bytes, limits) for length in subject.prompt_lengths if gpu_bytes)
    lengths = tuple(room.prompt_length for room in rooms if room.rows_in_rollover or room.rows)
    if rooms and not lengths:
        least = needed_bytes(bucket_of(subject, 1, subject.prompt_lengths[0]))
        raise OptionError(
            f"--gpu-memory: {gpu_bytes:,} bytes hold no bucket of {subject.name}: one row of "
            f"{subject.prompt_lengths[0]} tokens needs {least:,}; "
            "allowed: a larger GPU, a smaller dtype, weights in int8"
        )
    fleet = None
    most = _most_rows(rooms)
    if load is not None and limits is not None and rooms:
        fleet = _fleet(subject, limits, load, rooms, price_per_hour)
        most = fleet.batch_size
    return Capacity(
        subject=subject,
        buckets=buckets,
        gpu_bytes=gpu_bytes,
        limits=limits,
        rooms=rooms,
        fleet=fleet,
        batch_sizes=_sizes(subject, most) if rooms else subject.batch_sizes,
        prompt_lengths=lengths or subject.prompt_lengths,
    )


def _room(subject: Subject, length: int, gpu_bytes: int, limits: Limits | None) -> Room:
    rows = largest_batch(subject, length, gpu_bytes)
    speed = tokens_per_second(subject, limits, rows, length) if limits and rows else None
    at_limit = speed / limits.efficiency if limits and speed else None
    return Room(length, rows, largest_batch(subject, length, gpu_bytes, 2), at_limit, speed)


def _most_rows(rooms: tuple[Room, ...]) -> int:
    """The largest power of two that fits in every length bucket that is kept; where a second version fits at
    all, beside it."""
    kept = [room.rows_in_rollover or room.rows for room in rooms if room.rows]
    return _power(min([MOST_CHOSEN, *kept]))


def _power(rows: int) -> int:
    return 1 << max(0, rows.bit_length() - 1)


def _fleet(
    subject: Subject, limits: Limits, load: Load, rooms: tuple[Room, ...], price_per_hour: float | None
) -> Fleet:
    """With the smallest batch that needs the fewest replicas."""
    length = _length(subject, load)
    if not next(room.rows for room in rooms if room.prompt_length == length):
        raise OptionError(f"--prompt-tokens: the bucket of {length} tokens does not fit on the GPU")
    found = []
    for most in (1 << power for power in range(_most_rows(rooms).bit_length())):
        sizes = _sizes(subject, most)
        seconds = [
            batch_seconds(subject, limits, _compiled(sizes, rows), length, load.new_tokens)
            for rows in range(1, most + 1)
        ]
        wait = seconds[-1] if load.wait is None else load.wait
        found.append((*replicas_of(load.requests_per_second, seconds, wait), seconds))
    replicas, queue, seconds = min(found, key=lambda option: (option[0], len(option[2])))
    rate = load.requests_per_second
    produced = 3600 * load.new_tokens / 1e6  # millions of tokens an hour, of one request a second
    price = price_per_hour
    return Fleet(
        replicas=replicas,
        batch_size=len(seconds),
        prompt_length=length,
        full_batch_seconds=seconds[-1],
        queue=queue,
        answer_seconds_95=play(rate / replicas, seconds).answer_seconds_95,
        cost_per_million=None if price is None else price * replicas / (rate * produced),
        cost_per_million_busy=None if price is None else price * seconds[-1] / (len(seconds) * produced),
    )


def _sizes(subject: Subject, most: int) -> tuple[int, ...]:
    """Batch buckets up to ``most``: one row, and what is compiled already."""
    return tuple(sorted({1, most, *(rows for rows in subject.batch_sizes if rows < most)}))


def _compiled(sizes: tuple[int, ...], rows: int) -> int:
    """The batch bucket that answers so many rows."""
    return next(size for size in sizes if size >= rows)


def _length(subject: Subject, load: Load) -> int:
    """The bucket of the load's prompts; raises OptionError where there is none."""
    if load.new_tokens > subject.max_new_tokens:
        raise OptionError(
            f"--new-tokens: {load.new_tokens} is above max_new_tokens of {subject.name}, "
            f"{subject.max_new_tokens}"
        )
    length = subject.length_of(load.prompt_tokens)
    if length is None:
        raise OptionError(
            f"--prompt-tokens: {load.prompt_tokens} is above the longest bucket of {subject.name}, "
            f"{subject.prompt_lengths[-1]}"
        )
    return length
