"""The export, step by step: checkpoint -> spec, weights, tokenizer -> one published SavedModel version."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
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
from exporter.model import build_model
from exporter.options import ExportOptions
from exporter.saved_model.buckets import resolve_buckets
from exporter.saved_model.languages import LanguageTokenizer
from exporter.saved_model.manifest import (
    Buckets,
    Manifest,
    MemoryInfo,
    ModelInfo,
    WarmupInfo,
)
from exporter.saved_model.warmup import bucket_texts, warmup_requests, write_warmup
from exporter.saved_model.wrapper import TextGenerator
from exporter.saved_model.writer import choose_version, staged_version
from exporter.spec import ModelSpec
from exporter.tokenizer import TokenizerGraph, build_tokenizer, verify_tokenizer
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
        path = locate(options.model, options.revision)
        checkpoint = Checkpoint(path)
        spec = read_spec(checkpoint.config, ignore_config_keys=options.ignore_config_keys)
        languages = resolve_languages(path, options.source_lang, options.target_lang)
        preset_languages = _preset_languages(options, path)
        generation, presets = _generation_options(options, checkpoint, spec, languages, preset_languages)
        buckets = resolve_buckets(
            options,
            context_length=spec.context_length,
            # An encoder's positions hold the prompt alone; what is generated has the decoder's.
            max_new_tokens=0 if spec.kind == "encoder_decoder" else generation.max_new_tokens,
            context_is_hard=spec.context_is_hard,
        )
        spec.check_lengths(buckets.prompt_lengths[-1], generation.max_new_tokens)
    with report("Compile the tokenizer"):
        plain = _tokenizer(options, path)
        tokenizer = plain and _with_languages(plain, languages)
        tokenizers = {name: LanguageTokenizer(plain, own) for name, own in preset_languages.items() if plain}
        texts = _warmup_texts(options, tokenizer, buckets)
    with report("Load the weights"):
        weights = load_weights(spec, checkpoint, options.dtype)
        model = build_model(spec, weights)
    with report("Trace the graph"):
        wrapper = TextGenerator(
            model, tokenizer, generation, presets, buckets, options, preset_tokenizers=tokenizers
        )
        infos = wrapper.signature_infos()
        requests = warmup_requests(
            infos,
            buckets,
            mode=options.warmup,
            minimal=wrapper.one_signature_per_program(),
            texts=texts,
        )
    with staged_version(servable, version) as staging:
        with report("Write the SavedModel"):
            wrapper.save_version(staging)
            write_warmup(staging, options.servable_name(), requests, infos)
        with report("Verify the written version"):
            deterministic = not generation.do_sample or generation.seed != UNPREDICTABLE_SEED
            golden = golden_answers(
                staging,
                GOLDEN_TEXTS if tokenizer else (),
                deterministic=deterministic,
                echo=options.echo,
            )
        manifest = Manifest(
            genserve_version=__version__,
            tensorflow_version=tf.__version__,
            name=options.servable_name(),
            version=version,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            model=_model_info(options, spec, weights),
            tokenizer=tokenizer.kind if tokenizer else None,
            buckets=buckets,
            max_new_tokens=generation.max_new_tokens,
            signatures=infos,
            generation=generation.model_dump(mode="json"),
            options=options.model_dump(mode="json"),
            memory=_memory(spec, weights, buckets, generation),
            warmup=WarmupInfo(records=len(requests)),
            golden=golden,
        )
        manifest.write(staging)
    return ExportResult(servable / str(version), manifest, time.monotonic() - started)


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


def _memory(
    spec: ModelSpec,
    weights: Mapping[str, np.ndarray],
    buckets: Buckets,
    generation: GenerationOptions,
) -> MemoryInfo:
    """Bytes of the weights, and of one row's keys and values in the longest bucket."""
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
        weights_bytes=sum(int(weight.nbytes) for weight in weights.values()),
        cache_bytes_per_row=per_row * itemsize,
    )
