"""Which layers run as loops over stacked weights: what was asked, or what pays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from exporter.families.stacked import runs_in
from exporter.options import ExportOptions
from exporter.spec import ModelSpec
from exporter.weights import WeightInfo


@dataclass(frozen=True)
class Scanned:
    """How many layers run in loops, of how many; those of an encoder and a decoder together."""

    layers: int
    of: int

    def notes(self, options: ExportOptions) -> tuple[str, ...]:
        """What became of ``--scan-layers on`` where layers are left out."""
        if options.scan_layers != "on" or self.layers == self.of:
            return ()
        return (
            f"scan_layers: {self.layers} of {self.of} layers run in loops; among the others no pattern "
            "of equal layers repeats, and they stand one after the other",
        )


def resolve_scan(options: ExportOptions, spec: ModelSpec, infos: Mapping[str, WeightInfo]) -> Scanned:
    """The layers that loops run over; ``infos``: of the weights as they are stored, not stacked.

    "auto" is off for both targets: see docs/performance-notes.md for what was measured.
    """
    stacks = [("", spec.decoder.layers), ("encoder.", spec.encoder.layers if spec.encoder else ())]
    total = sum(len(layers) for _, layers in stacks)
    if options.scan_layers != "on":
        return Scanned(0, total)
    runs = [run for prefix, layers in stacks if layers for run in runs_in(layers, infos, prefix)]
    return Scanned(sum(run.period * run.count for run in runs if run.count > 1), total)
