"""What ``genserve plan`` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from exporter.capacity.planning import Capacity, Fleet, Load

_EFFICIENCY = {
    "stated": "as stated",
    "measured": "as genserve warm measured it, if on such a card",
    "limit": "not known, the limit itself: give --efficiency",
}
_NO_FLOPS = (
    "arithmetic is not counted, since no figure of this card's is known: "
    "long prompts and large batches may be slower than said"
)


def print_capacity(capacity: Capacity, load: Load | None) -> None:
    """The plan as tables."""
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    subject = capacity.subject
    console.print(
        f"{subject.name}: {subject.parameters:,} parameters, {subject.dtype}, "
        f"weights {_gib(subject.weights_bytes)}, at most {subject.max_new_tokens} new tokens, "
        f"{subject.copies} beams or sequences a row",
        markup=False,
    )
    _buckets(console, capacity)
    if capacity.gpu_bytes:
        _rooms(console, capacity)
    if capacity.limits:
        limits = capacity.limits
        console.print(f"efficiency {limits.efficiency:.2f}: {_EFFICIENCY[limits.source]}", markup=False)
        if limits.flops is None:
            console.print(_NO_FLOPS, markup=False)
    if capacity.fleet and load:
        _fleet(console, capacity.fleet, load)
    if capacity.gpu_bytes:
        chosen = capacity.chosen
        shares = [chosen["memory_fraction"], chosen["memory_fraction_in_rollover"]]
        console.print(
            f"chosen: batch_sizes {chosen['batch_sizes']}, prompt_lengths {chosen['prompt_lengths']}; "
            f"fraction {shares[0]}, with two versions {shares[1] or '(do not fit)'}",
            markup=False,
        )


def _buckets(console: Console, capacity: Capacity) -> None:
    from rich.table import Table

    table = Table("batch", "length", "weights", "keys, values", "temporaries", "in all", "", box=None)
    for bucket in capacity.buckets:
        scaled = ", keys and values in proportion" if bucket.prompt_length in capacity.subject.scaled else ""
        sizes = (bucket.weights_bytes, bucket.cache_bytes, bucket.temporary_bytes, bucket.total_bytes)
        names = (str(bucket.batch_size), str(bucket.prompt_length))
        table.add_row(*names, *map(_gib, sizes), bucket.source + scaled)
    console.print(table)


def _rooms(console: Console, capacity: Capacity) -> None:
    from rich.table import Table

    assert capacity.gpu_bytes is not None
    console.print(f"on a GPU of {_gib(capacity.gpu_bytes)}")
    for versions, label in ((1, "one version"), (2, "two versions, while one takes the other's place")):
        share = capacity.fraction(versions)
        what = f"per_process_gpu_memory_fraction {share:.2f}" if share else "its buckets do not fit"
        console.print(f"  {label}: {what}")
    table = Table(
        "length", "largest batch", "with two versions", "tokens/s at the limit", "tokens/s", box=None
    )
    for room in capacity.rooms:
        speeds = (room.tokens_per_second_at_limit, room.tokens_per_second)
        rows = (room.prompt_length, room.rows, room.rows_in_rollover)
        table.add_row(*map(str, rows), *("-" if speed is None else f"{speed:,.0f}" for speed in speeds))
    console.print(table)


def _fleet(console: Console, fleet: Fleet, load: Load) -> None:
    queue = fleet.queue
    lines = [
        f"{load.requests_per_second:g} requests a second of {load.prompt_tokens} + {load.new_tokens} tokens: "
        f"{fleet.replicas:,} replicas with batches of {fleet.batch_size} x {fleet.prompt_length}",
        f"  each busy {queue.busy:.0%} of the time, {queue.rows:.1f} rows a batch",
        f"  a request waits {queue.wait_seconds:.3g} s in the mean and is answered after "
        f"{queue.answer_seconds:.3g} s; 95 of 100 (simulated) within {fleet.answer_seconds_95:.3g} s",
    ]
    if fleet.cost_per_million is not None:
        lines.append(
            f"  a million new tokens cost {fleet.cost_per_million:.3g} at this load, "
            f"{fleet.cost_per_million_busy:.3g} with every replica busy"
        )
    console.print("\n".join(lines), markup=False)


def _gib(count: int) -> str:
    return f"{count / (1 << 30):.2f} GiB" if count >= 1 << 30 else f"{count / (1 << 20):.2f} MiB"
