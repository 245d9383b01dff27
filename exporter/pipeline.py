"""The export, step by step: checkpoint -> spec, weights, tokenizer -> one published SavedModel version."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from exporter import __version__
from exporter.checkpoint import Checkpoint, locate
from exporter.errors import OptionError
from exporter.families import load_weights, read_spec
from exporter.generation.options import UNPREDICTABLE_SEED, GenerationOptions, resolve_options
from exporter.languages import Languages, resolve_languages
from exporter.model import Transformer, build_model
from exporter.options import ExportOptions
from exporter.prefix import Prefix, check_prefix, check_rest, resolve_prefix
from exporter.saved_model.buckets import resolve_buckets
from exporter.saved_model.languages import LanguageTokenizer
from exporter.saved_model.manifest import (
    Buckets,
    GoldenAnswer,
    Manifest,
    MemoryInfo,
    ModelInfo,
    PrefixInfo,
    WarmupInfo,
)
from exporter.saved_model.prefix import PrefixTokenizer
from exporter.saved_model.warmup import bucket_texts, warmup_requests, write_warmup
from exporter.saved_model.wrapper import TextGenerator
from exporter.saved_model.writer import choose_version, staged_version
from exporter.spec import ModelSpec
from exporter.tokenizer import TokenizerGraph, build_tokenizer, verify_tokenizer
from exporter.tokenizer.reference import reference_of
from exporter.tokenizer.samples import sample_strings
from exporter.tokenizer.sources import read_source
from exporter.tokenizer.verify import compare
from exporter.verify import golden_answers

Report = Callable[[str], AbstractContextManager[Any]]
#: What an export generates at most where neither the caller nor the checkpoint says so; the reference's
#: own fallback of 20 tokens surprises everyone who serves text.
DEFAULT_MAX_NEW_TOKENS = 64
_LENGTH_KEYS = {"max_new_tokens", "max_length"}
#: What a preset may hold beside generation options.
_LANGUAGE_KEYS = {"source_lang", "target_lang"}
#: Short, so that the export compiles only its smallest bucket to verify them.
GOLDEN_TEXTS = ("The", "1, 2, 3,", "Où est-ce? 東京\n")
#: Strings of the short tokenizer check; ``genserve verify-tokenizer`` runs as many as wanted.
TOKENIZER_CHECKS = 200
RESERVED_SIGNATURES = {"serving_default", "tokens", "encode", "decode", "generate", "score", "next_token"}


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
    started = time.monotonic()
    servable = output / options.servable_name()
    version = choose_version(servable, options.version, force=options.force)
    with report("Read the checkpoint"):
        plan = _plan(options)
    with report("Compile the tokenizer"):
        plain = _tokenizer(options, plan.path)
        tokenizer = plain and _behind_prefix(_with_languages(plain, plan.languages), plan)
        texts = _warmup_texts(options, tokenizer, plan.buckets)
    with report("Load the weights"):
        weights = load_weights(plan.spec, plan.checkpoint, options.dtype)
        model = build_model(plan.spec, weights)
        if plan.prefix:
            model.bake_prefix(plan.prefix.tokens)
    with report("Trace the graph"):
        wrapper = _traced(plan, model, plain, tokenizer)
        infos = wrapper.signature_infos()
        requests = warmup_requests(
            infos,
            plan.buckets,
            mode=options.warmup,
            minimal=wrapper.one_signature_per_program(),
            texts=texts,
            lengths=wrapper.lengths,
        )
    with staged_version(servable, version) as staging:
        with report("Write the SavedModel"):
            wrapper.save_version(staging)
            write_warmup(staging, options.servable_name(), requests, infos)
        with report("Verify the written version"):
            golden = _golden(plan, staging, tokenizer)
        manifest = _manifest(plan, version, weights, model, tokenizer).model_copy(
            update={"signatures": infos, "warmup": WarmupInfo(records=len(requests)), "golden": golden}
        )
        manifest.write(staging)
    return ExportResult(servable / str(version), manifest, time.monotonic() - started)


@dataclass(frozen=True)
class _Plan:
    """What an export will be: decided before weights are read and anything is traced."""

    options: ExportOptions
    path: Path
    checkpoint: Checkpoint
    spec: ModelSpec
    languages: Languages | None
    preset_languages: Mapping[str, Languages]
    generation: GenerationOptions
    presets: Mapping[str, GenerationOptions]
    prefix: Prefix | None
    buckets: Buckets


def _plan(options: ExportOptions) -> _Plan:
    path = locate(options.model, options.revision)
    checkpoint = Checkpoint(path)
    spec = read_spec(checkpoint.config, ignore_config_keys=options.ignore_config_keys)
    languages = resolve_languages(path, options.source_lang, options.target_lang)
    of_presets = _preset_languages(options, path)
    generation, presets = _generation_options(options, checkpoint, spec, languages, of_presets)
    prefix = resolve_prefix(options, path, spec)
    buckets = _buckets(options, spec, generation, prefix)
    return _Plan(options, path, checkpoint, spec, languages, of_presets, generation, presets, prefix, buckets)


def _traced(
    plan: _Plan, model: Transformer, plain: TokenizerGraph | None, tokenizer: TokenizerGraph | None
) -> TextGenerator:
    """The wrapper with every signature; ``plain`` is the tokenizer without languages and prefix."""
    of_presets = {
        name: LanguageTokenizer(plain, languages)
        for name, languages in plan.preset_languages.items()
        if plain
    }
    return TextGenerator(
        model,
        tokenizer,
        plan.generation,
        plan.presets,
        plan.buckets,
        plan.options,
        preset_tokenizers=of_presets,
        prefix=plan.prefix,
    )


def _golden(plan: _Plan, staging: Path, tokenizer: TokenizerGraph | None) -> tuple[GoldenAnswer, ...]:
    """What the written version answers, checked and kept."""
    deterministic = not plan.generation.do_sample or plan.generation.seed != UNPREDICTABLE_SEED
    return golden_answers(
        staging,
        GOLDEN_TEXTS if tokenizer else (),
        deterministic=deterministic,
        echo=(plan.prefix.text if plan.prefix else "") if plan.options.echo else None,
    )


def _manifest(
    plan: _Plan,
    version: int,
    weights: Mapping[str, np.ndarray],
    model: Transformer,
    tokenizer: TokenizerGraph | None,
) -> Manifest:
    """The manifest without signatures, warmup and golden answers."""
    return Manifest(
        genserve_version=__version__,
        tensorflow_version=tf.__version__,
        name=plan.options.servable_name(),
        version=version,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        model=_model_info(plan.options, plan.spec, weights),
        tokenizer=tokenizer.kind if tokenizer else None,
        buckets=plan.buckets,
        max_new_tokens=plan.generation.max_new_tokens,
        signatures={},
        generation=plan.generation.model_dump(mode="json"),
        options=plan.options.model_dump(mode="json"),
        memory=_memory(plan.spec, weights, model, plan.buckets, plan.generation),
        prefix=_prefix_info(plan.prefix, model),
    )


def _preset_languages(options: ExportOptions, path: Path) -> dict[str, Languages]:
    """The languages of presets that name any: what a preset leaves out is the export's own."""
    resolved = {
        name: resolve_languages(
            path,
            preset.get("source_lang", options.source_lang),
            preset.get("target_lang", options.target_lang),
        )
        for name, preset in options.signatures.items()
        if _LANGUAGE_KEYS & set(preset)
    }
    return {name: languages for name, languages in resolved.items() if languages is not None}


def _generation_options(
    options: ExportOptions,
    checkpoint: Checkpoint,
    spec: ModelSpec,
    languages: Languages | None,
    preset_languages: Mapping[str, Languages],
) -> tuple[GenerationOptions, dict[str, GenerationOptions]]:
    """The exported defaults, and each preset: the defaults with the preset's own options over them."""
    overrides = {**(languages.generation if languages else {}), **options.generation}
    if options.max_new_tokens is not None:
        overrides["max_new_tokens"] = options.max_new_tokens
    elif not _LENGTH_KEYS & {*overrides, *(checkpoint.generation_config or checkpoint.config)}:
        # At most half of a short context, so that the other half holds prompts.
        room = DEFAULT_MAX_NEW_TOKENS if spec.context_length is None else max(1, spec.context_length // 2)
        overrides["max_new_tokens"] = min(DEFAULT_MAX_NEW_TOKENS, room)

    if "score" in options.outputs:
        overrides["scores"] = True

    def resolve(extra: Mapping[str, Any]) -> GenerationOptions:
        return resolve_options(
            checkpoint.generation_config,
            checkpoint.config,
            {**overrides, **extra},
            vocab_size=spec.vocab_size,
            is_encoder_decoder=spec.kind == "encoder_decoder",
            context_length=spec.context_length,
            ignore=options.ignore_config_keys,
        )

    taken = RESERVED_SIGNATURES & set(options.signatures)
    if taken:
        raise OptionError(f"signatures: {sorted(taken)} are genserve's own names; choose others")
    presets = {
        name: {
            **(preset_languages[name].generation if name in preset_languages else {}),
            **{key: value for key, value in preset.items() if key not in _LANGUAGE_KEYS},
        }
        for name, preset in options.signatures.items()
    }
    return resolve({}), {name: resolve(extra) for name, extra in presets.items()}


def _tokenizer(options: ExportOptions, path: Path) -> TokenizerGraph | None:
    """The compiled tokenizer, compared with the reference on generated strings; None with "none"."""
    if options.tokenizer == "none":
        return None
    tokenizer = build_tokenizer(path, special_tokens_in_text=options.special_tokens_in_text)
    verify_tokenizer(
        path,
        count=TOKENIZER_CHECKS,
        tokenizer=tokenizer,
        special_tokens_in_text=options.special_tokens_in_text,
    ).check()
    if "score" in options.extra_signatures:
        _refuse_other_targets(path)
    return tokenizer


def _refuse_other_targets(path: Path) -> None:
    """Marian may read its targets with another SentencePiece model and vocabulary than its sources."""
    source, target = path / "source.spm", path / "target.spm"
    files = source.is_file() and target.is_file()
    separate = (path / "target_vocab.json").is_file()
    if separate or (files and source.read_bytes() != target.read_bytes()):
        raise OptionError(
            "extra_signatures: score: continuations would be read by target.spm, which differs from "
            "source.spm, and only the source's tokenizer is compiled"
        )


def _buckets(
    options: ExportOptions, spec: ModelSpec, generation: GenerationOptions, prefix: Prefix | None
) -> Buckets:
    """The export's buckets, checked against the model's context and what stands before every prompt."""
    buckets = resolve_buckets(
        options,
        context_length=spec.context_length,
        # An encoder's positions hold the prompt alone; what is generated has the decoder's.
        max_new_tokens=0 if spec.kind == "encoder_decoder" else generation.max_new_tokens,
        context_is_hard=spec.context_is_hard,
        prefix_length=len(prefix.tokens) if prefix else 0,
    )
    if prefix is None:
        spec.check_lengths(buckets.prompt_lengths[-1], generation.max_new_tokens)
    else:
        check_prefix(prefix, spec, buckets.prompt_lengths[-1], generation)
        check_rest(prefix, buckets.prompt_lengths[0])
    return buckets


def _behind_prefix(tokenizer: TokenizerGraph, plan: _Plan) -> TokenizerGraph:
    """The tokenizer of texts behind the prefix, compared with the reference on the whole texts."""
    prefix = plan.prefix
    if prefix is None:
        return tokenizer
    behind = PrefixTokenizer(tokenizer, prefix)
    reference = reference_of(read_source(plan.path), plan.options.special_tokens_in_text)

    def encode(text: str) -> list[int]:
        return reference.encode(prefix.text + text)[len(prefix.tokens) :]

    whole = replace(reference, encode=encode)
    compare(behind, whole, sample_strings(TOKENIZER_CHECKS, seed=8, tokens=reference.tokens)).check()
    return behind


def _with_languages(tokenizer: TokenizerGraph, languages: Languages | None) -> TokenizerGraph:
    return tokenizer if languages is None else LanguageTokenizer(tokenizer, languages)


def _warmup_texts(
    options: ExportOptions, tokenizer: TokenizerGraph | None, buckets: Buckets
) -> dict[int, str]:
    """A text for every length bucket, found with the compiled tokenizer itself."""
    if tokenizer is None:
        return {}
    count = tf.function(
        lambda text: tokenizer.encode(text[None]).row_lengths()[0],
        input_signature=[tf.TensorSpec([], tf.string)],
    )
    return bucket_texts(lambda text: int(count(tf.constant(text.encode()))), buckets)


def _model_info(options: ExportOptions, spec: ModelSpec, weights: Mapping[str, np.ndarray]) -> ModelInfo:
    return ModelInfo(
        source=options.model,
        revision=options.revision,
        model_type=spec.model_type,
        kind=spec.kind,
        parameters=sum(int(weight.size) for weight in weights.values()),
        vocab_size=spec.vocab_size,
        context_length=spec.context_length,
        dtype=options.dtype,
    )


def _prefix_bytes(model: Transformer) -> int:
    return sum(variable.shape.num_elements() * variable.dtype.size for variable in model.prefix.values())


def _prefix_info(prefix: Prefix | None, model: Transformer) -> PrefixInfo | None:
    if prefix is None:
        return None
    return PrefixInfo(
        sha256=prefix.sha256,
        tokens=len(prefix.tokens),
        rest=prefix.rest,
        rest_tokens=prefix.rest_tokens,
        bytes=_prefix_bytes(model),
    )


def _memory(
    spec: ModelSpec,
    weights: Mapping[str, np.ndarray],
    model: Transformer,
    buckets: Buckets,
    generation: GenerationOptions,
) -> MemoryInfo:
    """Bytes of weights and baked prefix, and of one row's keys and values in the longest bucket."""
    itemsize = max(weight.dtype.itemsize for weight in weights.values())
    longest, new = buckets.prompt_lengths[-1], generation.max_new_tokens
    per_row = sum(
        2
        * layer.attention.kv_heads
        * layer.attention.head_dim
        * (min(longest, layer.attention.window or longest) + new)
        for layer in spec.decoder.layers
    )
    return MemoryInfo(
        weights_bytes=sum(int(weight.nbytes) for weight in weights.values()) + _prefix_bytes(model),
        cache_bytes_per_row=per_row * itemsize,
    )
