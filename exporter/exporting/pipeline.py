"""The export, step by step: checkpoint -> spec, weights, tokenizer -> one published SavedModel version."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf

from exporter.errors import OutputError
from exporter.exporting.description import describe
from exporter.exporting.golden import golden_of
from exporter.exporting.plan import Plan, plan_export
from exporter.exporting.tokenizers import Tokenizers, compile_tokenizers
from exporter.families import load_weights
from exporter.file_hashes import written_files
from exporter.manifest import Manifest, WarmupInfo
from exporter.model import Transformer, build_model
from exporter.options import ExportOptions
from exporter.publishing import Staged, staged_version
from exporter.saved_model.warmup import warmup_requests, write_warmup
from exporter.saved_model.wrapper import TextGenerator
from exporter.targets import compiled_for

Report = Callable[[str], AbstractContextManager[Any]]


@dataclass(frozen=True)
class ExportResult:
    """One published version."""

    directory: Path
    manifest: Manifest
    seconds: float


def export(options: ExportOptions, output: Path, report: Report = lambda _: nullcontext()) -> ExportResult:
    """Exports one model to ``output/NAME/VERSION``; nothing is visible there before all of it is.

    Args:
      options: what to export, and how.
      output: the directory that a server's base paths lie in.
      report: called with each step's name; the step runs inside the returned context.

    Raises:
      GenserveError: whichever step refuses; nothing has been published then.
    """
    with report("Read the checkpoint"):
        plan = plan_export(options, output)
    return export_planned(plan, report)


def export_planned(plan: Plan, report: Report = lambda _: nullcontext()) -> ExportResult:
    """``export`` of what has been planned. The version's number is reserved first, for all that follows."""
    started = time.monotonic()
    options = plan.options
    with (
        compiled_for(options.target),
        staged_version(plan.servable, options.version, force=options.force) as staged,
    ):
        manifest = _fill(plan, staged, report)
    return ExportResult(plan.servable / str(staged.version), manifest, time.monotonic() - started)


def _fill(plan: Plan, staged: Staged, report: Report) -> Manifest:
    """Everything that stands in the version's folder, written there and verified."""
    with report("Compile the tokenizer"):
        tokenizers = compile_tokenizers(plan)
    with report("Load the weights"):
        model = build_model(plan.spec, load_weights(plan.spec, plan.checkpoint, plan.dtype))
        if plan.prefix:
            model.bake_prefix(plan.prefix.tokens)
    with report("Trace the graph"):
        wrapper = _traced(plan, model, tokenizers)
        infos = wrapper.signature_infos()
        requests = warmup_requests(plan.records, infos, tokenizers.bucket_texts)
    with report("Write the SavedModel"), _writing(plan.servable):
        wrapper.save_version(staged.path)
        write_warmup(staged.path, plan.servable.name, requests, infos)
    with report("Verify the written version"):
        golden = golden_of(plan, staged.path, model)
        found = {
            "signatures": infos,
            "warmup": WarmupInfo(records=len(requests)),
            "golden": golden.answers,
            "measured": golden.measured,
            "files": written_files(staged.path),
        }
    manifest = describe(plan, staged.version, model, tokenizers).model_copy(update=found)
    manifest.write(staged.path)
    return manifest


@contextmanager
def _writing(servable: Path) -> Iterator[None]:
    """What TensorFlow raises where it cannot write, such as on a full disk, becomes an OutputError."""
    try:
        yield
    except tf.errors.OpError as error:
        raise OutputError(f"{servable} cannot be written: {error.message}") from error


def _traced(plan: Plan, model: Transformer, tokenizers: Tokenizers) -> TextGenerator:
    """The wrapper with every signature."""
    return TextGenerator(
        model,
        tokenizers.prompts,
        plan.generation,
        plan.served,
        plan.buckets,
        plan.options,
        preset_tokenizers=tokenizers.presets,
        prefix=plan.prefix,
    )
