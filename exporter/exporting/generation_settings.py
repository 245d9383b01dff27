"""The generation options of every signature: the checkpoint's, the caller's, those of languages and chats."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from exporter.checkpoint import Checkpoint
from exporter.families import unread_notes
from exporter.generation.generation_options import (
    GUIDE_OPTIONS,
    GenerationOptions,
    asked_length,
    resolve_options,
)
from exporter.options import ExportOptions
from exporter.prompts.chat import Chat
from exporter.prompts.languages import Languages, resolve_languages
from exporter.spec import ModelSpec

#: What an export generates at most where neither the caller nor the checkpoint says so; the reference's
#: own fallback of 20 tokens surprises everyone who serves text.
DEFAULT_MAX_NEW_TOKENS = 64
#: What a preset may hold beside generation options.
_LANGUAGE_KEYS = {"source_lang", "target_lang"}
_OTHER_KEYS = {*_LANGUAGE_KEYS, "template"}


def preset_languages(options: ExportOptions, path: Path) -> dict[str, Languages]:
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


def generation_settings(
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
    elif not (asked_length(overrides) or _length_of_files(checkpoint)):
        overrides["max_new_tokens"] = _default_max_new_tokens(spec)
    if "score" in options.outputs:
        overrides["scores"] = True

    def resolve(extra: Mapping[str, Any]) -> GenerationOptions:
        # A guide of a preset's own takes the place of the exported one, whatever its kind.
        replaced = GUIDE_OPTIONS if GUIDE_OPTIONS & extra.keys() else frozenset()
        common = {name: value for name, value in overrides.items() if name not in replaced}
        return resolve_options(
            checkpoint.generation_config,
            checkpoint.config,
            {**common, **extra},
            vocab_size=spec.vocab_size,
            is_encoder_decoder=spec.kind == "encoder_decoder",
            context_length=spec.context_length,
            most_of_files=_default_max_new_tokens(spec),
            ignore=options.ignore_config_keys,
        )

    presets = {
        name: {
            **(preset_languages[name].generation if name in preset_languages else {}),
            **{key: value for key, value in preset.items() if key not in _OTHER_KEYS},
        }
        for name, preset in options.signatures.items()
    }
    return resolve({}), {name: resolve(extra) for name, extra in presets.items()}


def ending_with_turns(
    generation: GenerationOptions, chat: Chat | None, spec: ModelSpec
) -> GenerationOptions | None:
    """The options of ``chat``: the exported defaults, ending at the template's end of turn too."""
    if chat is None or chat.end_of_turn is None:
        return generation if chat else None
    token = chat.end_of_turn[1]
    if token in generation.eos_token_id or token >= spec.vocab_size:
        return generation
    return generation.model_copy(update={"eos_token_id": (*generation.eos_token_id, token)})


def chat_notes(
    chat: Chat | None, no_chat: str, generation: GenerationOptions, in_chat: GenerationOptions | None
) -> tuple[str, ...]:
    """Why there is no chat signature, or why it has a program of its own."""
    notes = [no_chat] if no_chat else []
    if chat is not None and chat.end_of_turn is not None and in_chat != generation:
        notes.append(
            f"chat is a program of its own: it ends at {chat.end_of_turn[0]!r} too, which ends a turn of the "
            "chat template and is no eos_token_id of the checkpoint's files"
        )
    if chat is not None and chat.parts.with_system is None:
        notes.append(f"chat takes no system text: {chat.parts.no_system}")
    return tuple(notes)


def not_followed(
    options: ExportOptions, checkpoint: Checkpoint, spec: ModelSpec, generation: GenerationOptions
) -> tuple[str, ...]:
    """What the checkpoint says and the export does not follow, in words."""
    notes = unread_notes(spec)
    asked = options.max_new_tokens or asked_length(options.generation)
    name, value = _length_of_files(checkpoint) or ("", 0)
    if not asked and value > generation.max_new_tokens + (name == "max_length"):
        notes.append(
            f"at most {generation.max_new_tokens} new tokens, though the checkpoint's files say {name}="
            f"{value}: every bucket would be sized for that; --max-new-tokens asks for more"
        )
    return tuple(notes)


def _default_max_new_tokens(spec: ModelSpec) -> int:
    """At most half of a short context, so that the other half holds prompts."""
    room = DEFAULT_MAX_NEW_TOKENS if spec.context_length is None else max(1, spec.context_length // 2)
    return min(DEFAULT_MAX_NEW_TOKENS, room)


def _length_of_files(checkpoint: Checkpoint) -> tuple[str, Any] | None:
    found = checkpoint.generation_config
    return asked_length(checkpoint.config if found is None else found)
