"""Every decision of an export that can be made before weights are read: what ``--dry-run`` prints.

Nothing is written, and of the weights only the headers are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from exporter.checkpoint import Checkpoint, Location, locate, open_checkpoint
from exporter.choices import ComputeDtype
from exporter.errors import GenserveError
from exporter.exporting.dtypes import resolve_dtype
from exporter.exporting.generation_settings import (
    chat_notes,
    ending_with_turns,
    generation_settings,
    not_followed,
    preset_languages,
)
from exporter.exporting.guides import read_guides
from exporter.exporting.limits import baked_prefix, check_resume, check_rollback, checked_buckets
from exporter.exporting.memory import baked_bytes, cache_bytes_per_row, state_bytes
from exporter.exporting.scanning import Scanned, resolve_scan
from exporter.families import count_weights, load_weights, read_spec
from exporter.families.int8 import Int8Weights
from exporter.generation.generation_options import GenerationOptions
from exporter.guides import Guide
from exporter.manifest import Buckets, MemoryInfo
from exporter.options import ExportOptions, Job
from exporter.prompts.chat import Chat, in_bucket, resolve_chat
from exporter.prompts.languages import Languages, resolve_languages
from exporter.prompts.prefix import Prefix, resolve_prefix
from exporter.prompts.templates import Template, resolve_templates
from exporter.publishing import choose_version
from exporter.publishing.origin import refuse_other_source
from exporter.saved_model.records import Record, warmup_records
from exporter.saved_model.served import ProgramKey, Served, programs_of, served_signatures
from exporter.spec import ModelSpec
from exporter.tokenizer.sources import read_source
from exporter.weights import Weights

#: A version that compiles more than this keeps a server from its requests for many minutes.
MANY_COMPILATIONS = 64


@dataclass(frozen=True)
class Plan:
    """What an export will be.

    Attributes:
      options: what was asked.
      servable: the directory of the servable's versions.
      version: the number that the version will have, if nothing else is published before.
      located: where it comes from.
      checkpoint: what lies there.
      spec: the architecture.
      languages: of a translation model; None without.
      preset_languages: of presets that name their own.
      generation: the exported defaults.
      presets: generation options of every preset.
      guides: what rows choose from.
      prefix: what stands before every prompt; None without.
      chat: the chat template that is served; None without.
      templates: prompt templates by preset; that of ``template`` as "serving_default".
      dtype: type of weights and activations.
      scanned: the layers that run in loops.
      buckets: the compiled shapes.
      served: every signature.
      records: the warmup requests.
      parameters: numbers in the weights.
      memory: bytes of weights and baked prefix, and of one row's keys and values in the longest bucket.
      warnings: what the caller should know before he waits for it.
      not_followed: what the checkpoint's configs say and the export does not follow; part of ``notes``.
    """

    options: ExportOptions
    servable: Path
    version: int
    located: Location
    checkpoint: Checkpoint
    spec: ModelSpec
    languages: Languages | None
    preset_languages: Mapping[str, Languages]
    generation: GenerationOptions
    presets: Mapping[str, GenerationOptions]
    guides: Mapping[str, Guide]
    prefix: Prefix | None
    chat: Chat | None
    templates: Mapping[str, Template]
    dtype: ComputeDtype
    scanned: Scanned
    buckets: Buckets
    served: tuple[Served, ...]
    records: tuple[Record, ...]
    parameters: int
    memory: MemoryInfo
    warnings: tuple[str, ...]
    not_followed: tuple[str, ...]

    @property
    def notes(self) -> tuple[str, ...]:
        """What was chosen or passed over in the files so far, a line each."""
        return (
            *self.located.notes,
            *self.checkpoint.notes,
            *self.not_followed,
            *self.scanned.notes(self.options),
        )

    @property
    def baked(self) -> Prefix | None:
        """See ``baked_prefix``."""
        return baked_prefix(self.prefix, self.chat)

    @property
    def compilations(self) -> dict[ProgramKey, int]:
        """Of each compiled program: one per bucket."""
        return {key: shapes(key.buckets(self.buckets)) for key in programs_of(self.served)}

    @property
    def lengths(self) -> tuple[int, ...]:
        """The length buckets of all programs."""
        found = {length for key in self.compilations for length in key.buckets(self.buckets).prompt_lengths}
        return tuple(sorted(found))

    def cache_bytes(self, length: int, rows: int) -> int:
        """Keys and values of a full bucket of ``rows`` prompts of ``length`` tokens."""
        return rows * _row_bytes(self.spec, length, self.served, self.buckets, self.dtype)

    def report(self) -> dict[str, Any]:
        """The plan as JSON holds it; bytes are of one copy of the weights, and of one bucket at a time."""
        rows, first = self.buckets.batch_sizes, programs_of(self.served)
        return {
            "model": self.options.model,
            "version_directory": str(self.servable / str(self.version)),
            "model_type": self.spec.model_type,
            "parameters": self.parameters,
            "target": self.options.target,
            "scanned_layers": self.scanned.layers,
            "dtype": self.dtype,
            "weights": self.options.weights,
            "max_new_tokens": self.generation.max_new_tokens,
            "signatures": [served.name for served in self.served],
            "prompt_lengths": list(self.buckets.prompt_lengths),
            "batch_sizes": list(rows),
            "programs": {first[key]: count for key, count in self.compilations.items()},
            "compilations": sum(self.compilations.values()),
            "guides": {name: guide.kind for name, guide in self.guides.items()},
            "warmup_records": len(self.records),
            "weights_bytes": self.memory.weights_bytes,
            "cache_bytes": [
                {"batch_size": count, "prompt_length": length, "bytes": self.cache_bytes(length, count)}
                for length in self.lengths
                for count in rows
            ],
            "notes": list(self.notes),
            "warnings": list(self.warnings),
        }


def plan_export(options: ExportOptions, output: Path, checkpoint: Checkpoint | None = None) -> Plan:
    """Decides what an export of ``options`` to ``output/NAME/VERSION`` will be.

    Args:
      checkpoint: what is exported, where it is no place that ``options.model`` names.

    Raises:
      GenserveError: the first thing that cannot be done.
    """
    servable = output / options.servable_name()
    version = choose_version(servable, options.version, force=options.force)
    if options.name is None:
        refuse_other_source(servable, options.model, options.adapter)
    located = Location(checkpoint.path) if checkpoint else locate(options.model, options.revision)
    adapter = None if options.adapter is None else locate(options.adapter, adapter=True)
    checkpoint = checkpoint or open_checkpoint(located.path, adapter)
    spec = read_spec(checkpoint.config, ignore_config_keys=options.ignore_config_keys)
    # What is missing or broken is known now.
    source = (
        None if options.tokenizer == "none" else read_source(checkpoint.path, options.tokenizer_reference)
    )
    languages = resolve_languages(checkpoint.path, options.source_lang, options.target_lang)
    of_presets = preset_languages(options, checkpoint.path)
    generation, presets = generation_settings(options, checkpoint, spec, languages, of_presets)
    check_rollback(spec, generation, presets)
    guides = read_guides(options, generation, presets)
    prefix = resolve_prefix(options, checkpoint.path, spec)
    found = resolve_chat(options, checkpoint.path, spec, source)
    buckets = checked_buckets(options, spec, generation, prefix, found[0])
    chat, no_chat = in_bucket(options, *found, buckets.prompt_lengths[-1])
    in_chat = ending_with_turns(generation, chat, spec)
    templates = resolve_templates(options, source)
    served = served_signatures(
        options,
        generation,
        presets,
        buckets,
        spec.vocab_size,
        guides,
        in_chat,
        templates,
        prefix=prefix.tokens if prefix else (),
        chat_prefix=chat.prefix.tokens if chat and chat.prefix else (),
    )
    if "resume" in options.extra_signatures:
        check_resume(spec, buckets, generation, prefix)
    parameters = count_weights(spec, checkpoint)
    dtype = resolve_dtype(options, checkpoint)
    weights = stored_weights(options, spec, checkpoint, dtype)
    weights_bytes = sum(info.nbytes for info in weights.infos.values())
    return Plan(
        options=options,
        servable=servable,
        version=version,
        located=located,
        checkpoint=checkpoint,
        spec=spec,
        languages=languages,
        preset_languages=of_presets,
        generation=generation,
        presets=presets,
        guides=guides,
        prefix=prefix,
        chat=chat,
        templates=templates,
        dtype=dtype,
        scanned=resolve_scan(options, spec, weights.infos),
        buckets=buckets,
        served=served,
        records=warmup_records(served, buckets, options.warmup, options.row_errors),
        parameters=parameters,
        memory=_memory(dtype, spec, weights_bytes, served, buckets),
        warnings=_warnings(options, served, buckets),
        not_followed=(
            *not_followed(options, checkpoint, spec, generation),
            *chat_notes(chat, no_chat, generation, in_chat),
        ),
    )


def stored_weights(
    options: ExportOptions, spec: ModelSpec, checkpoint: Checkpoint, dtype: ComputeDtype
) -> Weights:
    """The weights as the version keeps them; none is read yet."""
    plain = load_weights(spec, checkpoint, dtype)
    return Int8Weights(plain, tables=options.int8_tables) if options.weights == "int8" else plain


def plan_job(job: Job) -> list[Plan]:
    """Plans every model of a job; models of one name take the numbers one after the other.

    Raises:
      GenserveError: every model that cannot be exported, in one error of the first one's kind.
    """
    plans: list[Plan] = []
    errors: list[GenserveError] = []
    for options in job.exports:
        try:
            plan = plan_export(options, job.output)
        except GenserveError as error:
            errors.append(error)
            continue
        before = [other.version for other in plans if other.servable == plan.servable]
        if options.version is None and before:
            plan = replace(plan, version=max(before) + 1)
        plans.append(plan)
    if len(errors) == 1:
        raise errors[0]
    if errors:
        joint = GenserveError("\n".join(str(error) for error in errors))
        joint.exit_code = errors[0].exit_code
        raise joint
    return plans


def shapes(buckets: Buckets) -> int:
    """How many there are: compilations of a program."""
    return len(buckets.prompt_lengths) * len(buckets.batch_sizes)


def _row_bytes(
    spec: ModelSpec, length: int, served: tuple[Served, ...], buckets: Buckets, dtype: ComputeDtype
) -> int:
    """Keys and values of a row in the bucket of this length, of the program that keeps most."""
    keys = [key for key in programs_of(served) if length in key.buckets(buckets).prompt_lengths]
    return cache_bytes_per_row(spec, length, [_held(key) for key in keys if key.options], dtype)


def _held(key: ProgramKey) -> GenerationOptions:
    """A program's options with as many new tokens as it keeps keys and values of."""
    assert key.options is not None
    return key.options.model_copy(update={"max_new_tokens": key.piece}) if key.piece else key.options


def _memory(
    dtype: ComputeDtype,
    spec: ModelSpec,
    weights_bytes: int,
    served: tuple[Served, ...],
    buckets: Buckets,
) -> MemoryInfo:
    prefixes = {key.prefix for key in programs_of(served)}
    baked = sum(baked_bytes(spec, len(prefix), dtype) for prefix in prefixes if prefix)
    longest = {key.buckets(buckets).prompt_lengths[-1] for key in programs_of(served) if key.options}
    options = [key.options for key in programs_of(served) if key.options]
    rows = max((max(one.num_beams, one.num_return_sequences) for one in options), default=1)
    return MemoryInfo(
        weights_bytes=weights_bytes + baked,
        cache_bytes_per_row=max(_row_bytes(spec, length, served, buckets, dtype) for length in longest),
        state_bytes_per_row=rows * state_bytes(spec, dtype),
        cache_bytes_by_length=tuple(
            _row_bytes(spec, length, served, buckets, dtype) for length in buckets.prompt_lengths
        ),
    )


def _warnings(options: ExportOptions, served: tuple[Served, ...], buckets: Buckets) -> tuple[str, ...]:
    programs, lengths, rows = programs_of(served), len(buckets.prompt_lengths), len(buckets.batch_sizes)
    total = sum(shapes(key.buckets(buckets)) for key in programs)
    if total <= MANY_COMPILATIONS:
        return ()
    flag = "--pad-to-multiple-of" if options.pad_to_multiple_of else "--prompt-lengths"
    return (
        f"{total} compilations ({len(programs)} programs for {lengths} prompt lengths and {rows} "
        f"batch sizes) before a server is ready: coarser {flag}, fewer --batch-sizes or fewer "
        "--extra-signatures make it fewer",
    )
