"""The export, step by step: checkpoint -> spec, weights, tokenizer -> one published SavedModel version."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import tensorflow as tf

from exporter import __version__
from exporter.errors import OutputError
from exporter.exporting.golden import golden_of
from exporter.exporting.plan import Plan, plan_export
from exporter.exporting.tokenizers import Tokenizers, compile_tokenizers
from exporter.families import load_weights
from exporter.file_hashes import file_infos, written_files
from exporter.manifest import (
    Libraries,
    Manifest,
    ModelInfo,
    PrefixInfo,
    ProgramInfo,
    TokenizerReferenceInfo,
    WarmupInfo,
)
from exporter.model import Transformer, build_model
from exporter.options import ExportOptions
from exporter.publishing import Staged, staged_version
from exporter.publishing.origin import source_of
from exporter.saved_model.served import programs_of
from exporter.saved_model.warmup import warmup_requests, write_warmup
from exporter.saved_model.wrapper import TextGenerator

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
    with staged_version(plan.servable, options.version, force=options.force) as staged:
        manifest = _fill(plan, staged, report)
    return ExportResult(plan.servable / str(staged.version), manifest, time.monotonic() - started)


def _fill(plan: Plan, staged: Staged, report: Report) -> Manifest:
    """Everything that stands in the version's folder, written there and verified."""
    with report("Compile the tokenizer"):
        tokenizers = compile_tokenizers(plan)
    with report("Load the weights"):
        model = build_model(plan.spec, load_weights(plan.spec, plan.checkpoint, plan.options.dtype))
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
    manifest = _manifest(plan, staged.version, model, tokenizers).model_copy(update=found)
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


def _manifest(plan: Plan, version: int, model: Transformer, tokenizers: Tokenizers) -> Manifest:
    """The manifest without what is known once it is written."""
    options, spec = plan.options, plan.spec
    return Manifest(
        genserve_version=__version__,
        tensorflow_version=tf.__version__,
        libraries=_libraries(),
        name=plan.servable.name,
        version=version,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        model=ModelInfo(
            source=source_of(options.model),
            revision=plan.located.revision,
            model_type=spec.model_type,
            kind=spec.kind,
            parameters=plan.parameters,
            vocab_size=spec.vocab_size,
            context_length=spec.context_length,
            dtype=options.dtype,
            unread_config_keys=spec.unread_config_keys,
        ),
        tokenizer=tokenizers.prompts.kind if tokenizers.prompts else None,
        tokenizer_reference=_reference_info(tokenizers),
        buckets=plan.buckets,
        max_new_tokens=plan.generation.max_new_tokens,
        signatures={},
        programs=_programs(plan),
        generation=plan.generation.model_dump(mode="json"),
        options=options.model_dump(mode="json"),
        memory=plan.memory,
        prefix=_prefix_info(plan, model),
        notes=(*plan.notes, *tokenizers.notes),
        sources=file_infos(plan.checkpoint.path, plan.checkpoint.source_files),
    )


def _libraries() -> Libraries:
    return Libraries(
        python=platform.python_version(),
        xla=tf.version.GIT_VERSION,
        tensorflow_text=metadata.version("tensorflow-text"),
        keras=metadata.version("keras"),
        transformers=metadata.version("transformers"),
        tokenizers=metadata.version("tokenizers"),
    )


def _programs(plan: Plan) -> tuple[ProgramInfo, ...]:
    """Every compiled program with the signatures that reach it."""
    return tuple(
        ProgramInfo(
            kind=program.kind,
            signatures=tuple(served.name for served in plan.served if served.program == program),
            compilations=plan.shapes,
        )
        for program in programs_of(plan.served)
    )


def _reference_info(tokenizers: Tokenizers) -> TokenizerReferenceInfo | None:
    found = tokenizers.reference
    return None if found is None else TokenizerReferenceInfo.model_validate(asdict(found))


def _prefix_info(plan: Plan, model: Transformer) -> PrefixInfo | None:
    prefix = plan.prefix
    if prefix is None:
        return None
    return PrefixInfo(
        sha256=prefix.sha256,
        tokens=len(prefix.tokens),
        rest=prefix.rest,
        rest_tokens=prefix.rest_tokens,
        bytes=sum(variable.shape.num_elements() * variable.dtype.size for variable in model.prefix.values()),
    )
