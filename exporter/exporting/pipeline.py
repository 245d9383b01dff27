"""The export, step by step: checkpoint -> spec, weights, tokenizer -> one published SavedModel version."""

from __future__ import annotations

import gc
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import tensorflow as tf

from exporter.checkpoint import Checkpoint
from exporter.errors import OutputError
from exporter.exporting.accuracy import measure_accuracy
from exporter.exporting.description import describe
from exporter.exporting.golden import GOLDEN_TEXTS, GoldenJob
from exporter.exporting.golden_process import golden_answers
from exporter.exporting.guides import Tables, compile_guides, guide_infos
from exporter.exporting.plan import Plan, plan_export, stored_weights
from exporter.exporting.tokenizers import Tokenizers, compile_tokenizers
from exporter.families import load_weights
from exporter.families.stacked import StackedWeights
from exporter.file_hashes import written_files
from exporter.manifest import WARM_UP, Manifest, WarmupInfo
from exporter.model import Transformer, build_model, unwritten_variables
from exporter.options import ExportOptions
from exporter.prompts.prefix import Prefix
from exporter.publishing import Staged, staged_version
from exporter.saved_model.served import programs_of
from exporter.saved_model.warmup import warmup_requests, write_warmup
from exporter.saved_model.wrapper import TextGenerator
from exporter.targets import compiled_for
from exporter.weights import Weights
from exporter.xla_memory import sparing_memory

Report = Callable[[str], AbstractContextManager[Any]]
#: A note of versions that nobody has asked anything.
NOT_VERIFIED = (
    "nothing was verified after writing (--verify none), and there are no golden answers; 'genserve verify' "
    "checks files, ops, loading and compilations"
)


@dataclass(frozen=True)
class ExportResult:
    """One published version."""

    directory: Path
    manifest: Manifest
    seconds: float


def export(
    options: ExportOptions,
    output: Path,
    report: Report = lambda _: nullcontext(),
    checkpoint: Checkpoint | None = None,
) -> ExportResult:
    """Exports one model to ``output/NAME/VERSION``; nothing is visible there before all of it is.

    Args:
      options: what to export, and how.
      output: the directory that a server's base paths lie in.
      report: called with each step's name; the step runs inside the returned context.
      checkpoint: what is exported, where it is no place that ``options.model`` names.

    Raises:
      GenserveError: whichever step refuses; nothing has been published then.
    """
    with report("Read the checkpoint"):
        plan = plan_export(options, output, checkpoint)
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
    manifest = _write(plan, staged, tokenizers, report)
    del tokenizers
    gc.collect()  # graphs and traced functions know each other
    found: dict[str, Any] = {"notes": (*manifest.notes, NOT_VERIFIED)}
    if plan.options.verify == "full":
        with report("Verify the written version"):
            found = _verified(plan, staged.path)
    manifest = manifest.model_copy(update={**found, "files": written_files(staged.path)})
    manifest.write(staged.path)
    return manifest


def _verified(plan: Plan, directory: Path) -> dict[str, Any]:
    """What the manifest holds of the version's answers."""
    job = GoldenJob(
        plan.spec,
        plan.options,
        plan.generation,
        plan.dtype,
        plan.baked,
        plan.served,
        presets=tuple(plan.presets),
        preset_languages=tuple(plan.preset_languages),
        template_prompts={
            name: template.prompt.filled(dict.fromkeys(template.fields, GOLDEN_TEXTS[0])) or ""
            for name, template in plan.templates.items()
        },
        chat_segments=plan.chat.segments(user=GOLDEN_TEXTS[0]) if plan.chat else (),
    )
    golden = golden_answers(job, directory, sparing_memory(plan.dtype, plan.memory.weights_bytes))
    ours = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    most = max(ours, golden.measured.peak_memory_bytes)
    return {
        "golden": golden.answers,
        "measured": golden.measured.model_copy(update={"peak_memory_bytes": most}),
    }


def _write(plan: Plan, staged: Staged, tokenizers: Tokenizers, report: Report) -> Manifest:
    """Writes all but the manifest, which is returned; of the weights at most one is held at a time."""
    weights = stored_weights(plan.options, plan.spec, plan.checkpoint, plan.dtype)
    accuracy = None
    if plan.options.weights == "int8":
        with report("Compare int8 weights with plain ones"):
            plain = load_weights(plan.spec, plan.checkpoint, plan.dtype)
            accuracy = measure_accuracy(
                plan, tokenizers, partial(_model, plan, plain), partial(_model, plan, weights)
            )
    if plan.scanned.layers:
        weights = StackedWeights(plan.spec, weights)
    model = build_model(plan.spec, unwritten_variables(weights.infos), plan.dtype)
    if plan.baked:
        with report("Read the prefix"):
            model.bake_prefix(plan.baked.tokens, _read_prefix(plan, plan.baked, weights))
    guides = _guides(plan, tokenizers, report)
    with report("Trace the graph"):
        wrapper = _traced(plan, model, tokenizers, guides)
        infos = wrapper.signature_infos()
        requests = warmup_requests(plan.records, infos)
    with report("Write the SavedModel"), _writing(plan.servable):
        wrapper.save_version(staged.path, weights)
        write_warmup(staged.path, plan.servable.name, requests, infos)
    offered = {name: info for name, info in infos.items() if name != WARM_UP}
    found = {
        "signatures": offered,
        "warmup": WarmupInfo(records=len(requests)),
        "accuracy": accuracy,
        "guides": guide_infos(plan.guides, plan.served, guides),
    }
    return describe(plan, staged.version, model, tokenizers).model_copy(update=found)


def _read_prefix(plan: Plan, prefix: Prefix, weights: Weights) -> dict[str, tf.Tensor]:
    """Keys and values of the prefix. All weights are in memory for it, once, and let go of."""
    values = _model(plan, weights).read_prefix(prefix.tokens)
    gc.collect()  # the model and its traced functions know each other
    return values


def _model(plan: Plan, weights: Weights) -> Transformer:
    return build_model(plan.spec, weights, plan.dtype)


@contextmanager
def _writing(servable: Path) -> Iterator[None]:
    """What TensorFlow raises where it cannot write, such as on a full disk, becomes an OutputError."""
    try:
        yield
    except tf.errors.OpError as error:
        raise OutputError(f"{servable} cannot be written: {error.message}") from error


def _guides(plan: Plan, tokenizers: Tokenizers, report: Report) -> Tables:
    """The tables of all guides; without any there is no such step."""
    if not any(key.guided for key in programs_of(plan.served)):
        return {}
    with report("Compile the guides"):
        return compile_guides(plan.served, tokenizers.prompts, plan.spec.vocab_size)


def _traced(plan: Plan, model: Transformer, tokenizers: Tokenizers, guides: Tables) -> TextGenerator:
    """The wrapper with every signature."""
    return TextGenerator(
        model,
        tokenizers.prompts,
        plan.generation,
        plan.served,
        plan.buckets,
        plan.options,
        preset_tokenizers=tokenizers.presets,
        guide_tables=guides,
        prefix=plan.prefix,
        chat=plan.chat,
        templates=plan.templates,
    )
