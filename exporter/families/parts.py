"""What a plan of weights is made of: stored tensors, and how they become ours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from exporter.families.layout import Array


@dataclass(frozen=True)
class Part:
    """A stored tensor: its name, the shape it must have as stored, and what turns it into ours.

    ``default`` makes what stands in for it in checkpoints that lack it.
    """

    name: str
    shape: tuple[int, ...]
    convert: Callable[[Array], Array]
    default: Callable[[], Array] | None = None


@dataclass(frozen=True)
class Weight:
    """One of our weights: groups of parts, joined on the last axis; several groups are stacked.

    A ``wide`` one stays in float32 where the model is in float16, a ``strict`` one in bfloat16 too.
    """

    target: str
    groups: tuple[tuple[Part, ...], ...]
    stacked: bool = False
    wide: bool = False
    strict: bool = False
