"""The pipeline: ``Create(shards) | RunInference(version)``; an element is a shard, read, answered, written.

Batches are formed inside a shard, by length. Runners may run a stage over all elements before the next one
begins (Beam's own in-memory runner does, around RunInference), so a later stage that wrote results would
write nothing until the end, and a run that is killed would have answered for nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.ml.inference.base import ModelHandler, RunInference
from apache_beam.options.pipeline_options import PipelineOptions

from exporter.batch.answering import Answerer
from exporter.batch.columns import Columns
from exporter.batch.job import Job, signature_of
from exporter.batch.results import Answered, Done, mark_of, sort_out, write
from exporter.batch.shards import Shard, read
from exporter.manifest import Manifest


@dataclass
class _Loaded:
    """What a worker process keeps; Beam holds it by a weak reference, which a tuple has not."""

    columns: Columns
    answerer: Answerer


class VersionHandler(ModelHandler[Shard, Done, _Loaded]):  # type: ignore[misc]
    """An exported version as a model of RunInference: loaded once per worker process."""

    def __init__(self, job: Job) -> None:
        super().__init__(min_batch_size=1, max_batch_size=1)
        self._job = job

    def load_model(self) -> _Loaded:
        model = Path(self._job.model)
        manifest = Manifest.read(model)
        columns = Columns(self._job, manifest, signature_of(manifest, self._job))
        return _Loaded(columns, Answerer(model, manifest, self._job.signature))

    def run_inference(
        self, batch: Sequence[Shard], model: _Loaded, inference_args: dict[str, Any] | None = None
    ) -> Iterable[Done]:
        for shard in batch:
            # A runner that repeats a bundle asks for shards that are whole.
            yield mark_of(self._job, shard) or self._answered(shard, model)

    def _answered(self, shard: Shard, model: _Loaded) -> Done:
        asked = sort_out(shard, list(read(shard)), model.columns)
        started = time.monotonic()
        outputs = tuple(model.answerer.answer(asked.requests))
        return write(self._job, Answered(asked, outputs, time.monotonic() - started))


def run(job: Job, shards: Sequence[Shard], arguments: Sequence[str]) -> None:
    """Runs the pipeline to its end.

    Args:
      shards: those that are not finished.
      arguments: of Beam: ``--runner`` and what that takes.
    """
    with beam.Pipeline(options=PipelineOptions(list(arguments))) as pipeline:
        _ = (
            pipeline
            | "Shards" >> beam.Create(list(shards), reshuffle=True)
            | "Answer" >> RunInference(VersionHandler(job))
        )
