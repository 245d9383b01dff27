"""Where checkpoints keep the weights of a residual stream of several parts, and of what embeds media."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from exporter.families.layout import as_is
from exporter.families.names import StreamNames
from exporter.families.parts import Part, Weight
from exporter.spec import AltUpSpec, LaurelSpec, MediaTableSpec, NormSpec


class Table(Protocol):
    """What builds the weights of a linear map and of a norm: target, stored name, sizes."""

    def linear(self, target: str, stored: str, inputs: int, outputs: int, bias: bool) -> Iterator[Weight]: ...

    def joined(self, target: str, stored: list[tuple[str, int]], bias: bool) -> Iterator[Weight]: ...

    def norm(self, target: str, stored: str, spec: NormSpec | None, size: int) -> Iterator[Weight]: ...


class StreamWeights:
    """The weights of a stack whose residual stream has several parts; ``prefix`` stands before its names."""

    def __init__(self, table: Table, names: StreamNames, prefix: str, hidden: int) -> None:
        self.table, self.names, self.prefix, self.hidden = table, names, prefix, hidden

    def spread(self, parts: int) -> Iterator[Weight]:
        """Projections of the embedding, side by side."""
        stored = [f"{self.prefix}{self.names.spread}.{index}" for index in range(parts - 1)]
        yield from self.table.joined("embedding.parts", [(name, self.hidden) for name in stored], False)

    def merged(self, parts: int) -> Iterator[Weight]:
        """Projections of what the layers made of every part but the first."""
        for index in range(1, parts):
            stored = f"{self.prefix}{self.names.merged}.{index - 1}"
            yield from self.table.linear(f"merged.{index}", stored, self.hidden, self.hidden, False)

    def layer(self, ours: str, stored: str, spec: AltUpSpec) -> Iterator[Weight]:
        """What a layer mixes the parts by."""
        names, parts, ours = self.names, spec.parts, f"{ours}altup."
        yield from self.table.linear(f"{ours}router", stored + names.router, self.hidden, parts, False)
        yield from self.table.norm(f"{ours}router_norm", stored + names.router_norm, spec.norm, self.hidden)
        yield from self.table.linear(f"{ours}predict", stored + names.predict, parts, parts**2, False)
        yield from self.table.linear(f"{ours}correct", stored + names.correct, parts, parts, False)
        if spec.scaled:
            yield Weight(f"{ours}scale", ((Part(stored + names.scale, (self.hidden,), as_is),),))

    def laurel(self, ours: str, stored: str, spec: LaurelSpec) -> Iterator[Weight]:
        """The learned residual beside attention."""
        left, right, norm = (stored + name for name in self.names.laurel)
        yield from self.table.linear(f"{ours}laurel.left", left, self.hidden, spec.rank, False)
        yield from self.table.linear(f"{ours}laurel.right", right, spec.rank, self.hidden, False)
        yield from self.table.norm(f"{ours}laurel_norm", norm, spec.norm, self.hidden)


def media_weights(
    table: Table, specs: tuple[MediaTableSpec, ...], names: tuple[str, ...], hidden: int
) -> Iterator[Weight]:
    """What embeds the tokens of images and the like."""
    for index, (spec, name) in enumerate(zip(specs, names, strict=True)):
        ours = f"embedding.media.{index}."
        part = Part(f"{name}.embedding.weight", (spec.vocab, spec.size), as_is)
        yield Weight(f"{ours}tokens", ((part,),))
        yield from table.norm(f"{ours}norm", f"{name}.hard_embedding_norm", spec.norm, spec.size)
        yield from table.linear(f"{ours}project", f"{name}.embedding_projection", spec.size, hidden, False)
