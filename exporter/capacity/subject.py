"""What a plan of capacity is made for: an exported version, or a model that an export was planned of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from exporter.choices import Device
from exporter.manifest import Manifest
from serving_configs.gpu_memory import copies, measured_bytes, row_bytes

if TYPE_CHECKING:
    from exporter.exporting.plan import Plan


@dataclass(frozen=True)
class Subject:
    """What is known of it.

    Attributes:
      name, source: the servable's name, and the model behind it.
      row_bytes: length bucket -> keys and values of one row, of the program that keeps most of them.
      scaled: those lengths whose ``row_bytes`` are made of the longest one's: the manifest has no others.
      copies: the most beams or sequences of a row.
      measured: batch size and length -> bytes beside the weights, as ``genserve warm`` found them, or empty.
      measured_on: where; on a CPU another XLA planned them than a GPU has.
      batch_seconds: a full batch in the longest bucket on a GPU; None: not measured there.
    """

    name: str
    source: str
    dtype: str
    parameters: int
    weights_bytes: int
    row_bytes: Mapping[int, int]
    scaled: frozenset[int]
    copies: int
    max_new_tokens: int
    batch_sizes: tuple[int, ...]
    prompt_lengths: tuple[int, ...]
    measured: Mapping[tuple[int, int], int]
    measured_on: Device | None
    batch_seconds: float | None

    def length_of(self, tokens: int) -> int | None:
        """The bucket of a prompt of so many tokens; None where no bucket is long enough."""
        return next((length for length in self.prompt_lengths if length >= tokens), None)


def of_version(manifest: Manifest) -> Subject:
    """Of an exported version; the longest bucket stands for that of ``resume`` too, as in ``of_plan``."""
    lengths, memory = manifest.buckets.prompt_lengths, manifest.memory
    options = [manifest.generation, *manifest.options.get("signatures", {}).values()]
    return Subject(
        name=manifest.name,
        source=manifest.model.source,
        dtype=manifest.model.dtype,
        parameters=manifest.model.parameters,
        weights_bytes=memory.weights_bytes,
        row_bytes={length: row_bytes(manifest, length) for length in lengths},
        scaled=frozenset() if memory.cache_bytes_by_length else frozenset(lengths[:-1]),
        copies=copies(options),
        max_new_tokens=manifest.max_new_tokens,
        batch_sizes=manifest.buckets.batch_sizes,
        prompt_lengths=lengths,
        measured=measured_bytes(manifest),
        measured_on=manifest.warmup.device,
        batch_seconds=manifest.warmup.batch_seconds if manifest.warmup.device == "gpu" else None,
    )


def of_plan(plan: Plan) -> Subject:
    """Of an export that was planned: exact bytes for every length, nothing measured.

    The longest bucket stands for that of ``resume`` too, which holds prompts with their answers.
    """
    buckets = plan.buckets
    rows = {length: plan.cache_bytes(length, 1) for length in buckets.prompt_lengths}
    return Subject(
        name=plan.servable.name,
        source=plan.options.model,
        dtype=plan.dtype,
        parameters=plan.parameters,
        weights_bytes=plan.memory.weights_bytes,
        row_bytes=rows | {buckets.prompt_lengths[-1]: plan.memory.cache_bytes_per_row},
        scaled=frozenset(),
        copies=copies(options.model_dump() for options in (plan.generation, *plan.presets.values())),
        max_new_tokens=plan.generation.max_new_tokens,
        batch_sizes=buckets.batch_sizes,
        prompt_lengths=buckets.prompt_lengths,
        measured={},
        measured_on=None,
        batch_seconds=None,
    )
