"""Whether what an export asks for fits the model: its context, its baked prefixes, its tokenizers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from exporter.errors import OptionError, UnsupportedError
from exporter.generation.generation_options import GenerationOptions
from exporter.manifest import Buckets
from exporter.options import ExportOptions
from exporter.prompts.chat import Chat
from exporter.prompts.prefix import Prefix, check_prefix, check_rest
from exporter.saved_model.buckets import resolve_buckets
from exporter.spec import Mamba2Spec, ModelSpec


def baked_prefix(prefix: Prefix | None, chat: Chat | None) -> Prefix | None:
    """What is read at export: before every prompt, or before those of ``chat`` alone."""
    return prefix or (chat.prefix if chat else None)


def checked_buckets(
    options: ExportOptions,
    spec: ModelSpec,
    generation: GenerationOptions,
    prefix: Prefix | None,
    chat: Chat | None,
) -> Buckets:
    """The export's buckets, checked against the model's context and what stands before every prompt."""
    baked = baked_prefix(prefix, chat)
    buckets = resolve_buckets(
        options,
        context_length=spec.context_length,
        # An encoder's positions hold the prompt alone; what is generated has the decoder's.
        max_new_tokens=0 if spec.kind == "encoder_decoder" else generation.max_new_tokens,
        context_is_hard=spec.context_is_hard,
        prefix_length=len(baked.tokens) if baked else 0,
    )
    if baked is None:
        spec.check_lengths(buckets.prompt_lengths[-1], generation.max_new_tokens)
    else:
        check_prefix(baked, spec, buckets.prompt_lengths[-1], generation)
    if prefix is not None:
        check_rest(prefix, buckets.prompt_lengths[0])
    return buckets


def check_resume(
    spec: ModelSpec, buckets: Buckets, generation: GenerationOptions, prefix: Prefix | None
) -> None:
    """Refuses ``resume`` where what was read before would be read otherwise with the answer behind it."""
    for state in spec.decoder.states:
        if isinstance(state, Mamba2Spec) and state.limits != (0.0, math.inf):
            raise UnsupportedError(
                f"extra_signatures: resume: the reference limits time steps of {spec.model_type} to "
                f"{state.limits} while it reads a prompt, and not while it generates, so that an answer that "
                "is read again would go on otherwise"
            )
    total = len(prefix.tokens if prefix else ()) + buckets.prompt_lengths[-1] + generation.max_new_tokens
    bound = spec.rescaled_beyond
    if bound is not None and total > bound:
        raise UnsupportedError(
            "extra_signatures: resume: dynamic rope scaling turns all keys that are read at once by "
            f"their number beyond {bound} tokens, and prompt and new tokens of {total} could reach there; "
            "stay below it"
        )


def check_score(path: Path, options: ExportOptions) -> None:
    """Refuses ``score`` where continuations would be read by another tokenizer than the compiled one.

    Marian may read its targets with another SentencePiece model and vocabulary than its sources.
    """
    source, target = path / "source.spm", path / "target.spm"
    files = source.is_file() and target.is_file()
    separate = (path / "target_vocab.json").is_file()
    if "score" not in options.extra_signatures or options.tokenizer == "none":
        return
    if separate or (files and source.read_bytes() != target.read_bytes()):
        raise OptionError(
            "extra_signatures: score: continuations would be read by target.spm, which differs from "
            "source.spm, and only the source's tokenizer is compiled"
        )


def check_rollback(
    spec: ModelSpec, generation: GenerationOptions, presets: Mapping[str, GenerationOptions]
) -> None:
    """Refuses prompt lookup where a wrong guess cannot be taken back: a state keeps no tokens apart."""
    asked = {"": generation, **{f"signatures: {name}: ": options for name, options in presets.items()}}
    for place, options in asked.items() if spec.decoder.states else ():
        if options.prompt_lookup_num_tokens:
            raise UnsupportedError(
                f"{place}prompt_lookup_num_tokens={options.prompt_lookup_num_tokens}: layers of "
                f"{spec.model_type} carry a state from which wrong guesses cannot be taken back; allowed: 0"
            )
