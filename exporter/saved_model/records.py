"""Which warmup records an export writes: decided from its signatures and buckets alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from exporter.choices import Warmup
from exporter.errors import OptionError
from exporter.manifest import Buckets
from exporter.saved_model.served import Served, programs_of

#: TensorFlow Serving refuses a version with more.
MAX_RECORDS = 1000


@dataclass(frozen=True)
class Record:
    """One warmup request: which signature, and the bucket that it fills."""

    signature: str
    length: int
    rows: int


def warmup_records(served: Sequence[Served], buckets: Buckets, mode: Warmup) -> tuple[Record, ...]:
    """One record per signature, length bucket and batch bucket.

    "minimal" compiles every program in every bucket; "full" runs every signature in every bucket, so that
    first-use costs of host ops are paid too.

    Raises:
      OptionError: more than 1000 records, which the server refuses.
    """
    if mode == "none":
        return ()
    reaching = set(programs_of(served).values())
    chosen = [signature for signature in served if mode == "full" or signature.name in reaching]
    records = tuple(
        Record(signature.name, length, rows)
        for signature in sorted(chosen, key=lambda signature: signature.name)
        for length in signature.lengths
        for rows in buckets.batch_sizes
    )
    if len(records) > MAX_RECORDS:
        raise OptionError(
            f"warmup: {len(chosen)} signatures, {len(buckets.prompt_lengths)} prompt_lengths and "
            f"{len(buckets.batch_sizes)} batch_sizes make {len(records)} records, TensorFlow Serving "
            f"takes {MAX_RECORDS}: shorten batch_sizes, prompt_lengths or signatures, or use --warmup minimal"
        )
    return records


def text_lengths(records: Sequence[Record], served: Sequence[Served]) -> frozenset[int]:
    """The length buckets that some record fills with text, not with ids."""
    texts = {signature.name for signature in served if signature.kind not in ("tokens", "decode")}
    return frozenset(record.length for record in records if record.signature in texts)
