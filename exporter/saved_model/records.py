"""Which warmup records an export writes: decided from its signatures and buckets alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from exporter.choices import RowErrors, Warmup
from exporter.errors import OptionError
from exporter.manifest import WARM_UP, Buckets
from exporter.saved_model.served import Served, programs_of

#: TensorFlow Serving refuses a version with more.
MAX_RECORDS = 1000


@dataclass(frozen=True)
class Record:
    """One warmup request.

    Attributes:
      signature: which one.
      rows, length: the bucket that it fills.
      program: which of ``programs_of``, for the signature ``warm_up``.
    """

    signature: str
    rows: int
    length: int
    program: int = 0


def warmup_records(
    served: Sequence[Served], buckets: Buckets, mode: Warmup, row_errors: RowErrors = "answer"
) -> tuple[Record, ...]:
    """One record per program and bucket; "full" adds one per signature.

    The first ones compile every program in every bucket and run it for one token. The others pay for the
    first use of a signature's host ops: a row whose answer is its error, so that nothing is generated. There
    are none where such a row fails its request.

    Raises:
      OptionError: more than 1000 records, which the server refuses.
    """
    if mode == "none":
        return ()
    programs = list(programs_of(served))
    records = [
        Record(WARM_UP, rows, length, program)
        for program, key in enumerate(programs)
        for length in key.buckets(buckets).prompt_lengths
        for rows in buckets.batch_sizes
    ]
    if mode == "full" and row_errors == "answer":
        records += [
            Record(name, buckets.batch_sizes[0], buckets.prompt_lengths[0])
            for name in sorted(signature.name for signature in served)
        ]
    if len(records) > MAX_RECORDS:
        raise OptionError(
            f"warmup: {len(programs)} programs, {len(buckets.prompt_lengths)} prompt_lengths, "
            f"{len(buckets.batch_sizes)} batch_sizes and {len(served)} signatures make {len(records)} "
            f"records, TensorFlow Serving takes {MAX_RECORDS}: shorten batch_sizes, prompt_lengths or "
            "signatures"
        )
    return tuple(records)
