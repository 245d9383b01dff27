"""A plan as a picture; matplotlib comes with the extra ``bench``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from exporter.capacity.planning import Capacity

#: A GPU so many times larger than the largest bucket is told and not drawn.
_FAR = 10


def draw(capacity: Capacity, path: Path) -> None:
    """Writes the buckets' bytes, and beside them the largest batch of each length, as PNG, SVG or PDF.

    Raises:
      ModuleNotFoundError: no matplotlib.
      ValueError, OSError: the path's ending is no format, or it cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    _bytes(left, capacity)
    _rows(right, capacity)
    figure.suptitle(f"{capacity.subject.name} ({capacity.subject.dtype})")
    figure.savefig(path, dpi=120)


def _bytes(axes: Any, capacity: Capacity) -> None:
    names = [f"{bucket.batch_size} x {bucket.prompt_length}" for bucket in capacity.buckets]
    unit, name = (1 << 30, "GiB") if capacity.largest.total_bytes >= 1 << 30 else (1 << 20, "MiB")
    below = [0.0] * len(names)
    for label in ("weights", "cache", "temporary"):
        sizes = [getattr(bucket, f"{label}_bytes") / unit for bucket in capacity.buckets]
        axes.bar(names, sizes, bottom=below, label=label)
        below = [low + size for low, size in zip(below, sizes, strict=True)]
    gpu = (capacity.gpu_bytes or 0) / unit
    if 0 < gpu < _FAR * max(below):
        axes.axhline(gpu, color="black", linestyle="--", label="GPU")
    told = f", of a GPU of {gpu:,.0f} {name}" if gpu else ""
    axes.set(title="bytes by bucket" + told, xlabel="batch x prompt length", ylabel=name)
    axes.tick_params(axis="x", rotation=60)
    axes.legend()


def _rows(axes: Any, capacity: Capacity) -> None:
    lengths = [str(room.prompt_length) for room in capacity.rooms]
    for label, name in (("one version", "rows"), ("two versions", "rows_in_rollover")):
        axes.plot(lengths, [getattr(room, name) for room in capacity.rooms], marker="o", label=label)
    axes.set(title="largest batch", xlabel="prompt length", ylabel="rows")
    if capacity.rooms:
        axes.legend()
