"""The manifest of a planned version: where it comes from, what it was made with, what it serves."""

from __future__ import annotations

import platform
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import metadata

import tensorflow as tf

from exporter import __version__
from exporter.exporting.plan import Plan
from exporter.exporting.tokenizers import Tokenizers
from exporter.file_hashes import file_infos
from exporter.manifest import (
    AdapterInfo,
    ChatInfo,
    Libraries,
    Manifest,
    ModelInfo,
    PrefixInfo,
    ProgramInfo,
    TokenizerReferenceInfo,
)
from exporter.model import Transformer
from exporter.prompts.prefix import Prefix
from exporter.publishing.origin import source_of


def describe(plan: Plan, version: int, model: Transformer, tokenizers: Tokenizers) -> Manifest:
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
            dtype=plan.dtype,
            weights=options.weights,
            target=options.target,
            scanned_layers=plan.scanned.layers,
            unread_config_keys=spec.unread_config_keys,
        ),
        adapter=_adapter_info(plan),
        tokenizer=tokenizers.prompts.kind if tokenizers.prompts else None,
        tokenizer_reference=_reference_info(tokenizers),
        buckets=plan.buckets,
        max_new_tokens=plan.generation.max_new_tokens,
        signatures={},
        programs=_programs(plan),
        generation=plan.generation.model_dump(mode="json"),
        options=options.model_dump(mode="json"),
        memory=plan.memory,
        prefix=_prefix_info(plan.prefix, model),
        chat=_chat_info(plan, model),
        notes=(*plan.notes, *tokenizers.notes),
        sources=file_infos(plan.checkpoint.source, plan.checkpoint.source_files),
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
            compilations=count,
        )
        for program, count in plan.compilations.items()
    )


def _reference_info(tokenizers: Tokenizers) -> TokenizerReferenceInfo | None:
    found = tokenizers.reference
    return None if found is None else TokenizerReferenceInfo.model_validate(asdict(found))


def _adapter_info(plan: Plan) -> AdapterInfo | None:
    adapter = plan.checkpoint.adapter
    if adapter is None:
        return None
    return AdapterInfo(
        source=source_of(adapter.source),
        revision=adapter.revision,
        base=adapter.base,
        files=file_infos(adapter.path, adapter.source_files),
    )


def _chat_info(plan: Plan, model: Transformer) -> ChatInfo | None:
    chat = plan.chat
    if chat is None:
        return None
    reasoning = chat.parts.reasoning
    return ChatInfo(
        template=chat.template.source,
        tool_use=chat.template.tool_use,
        variables=chat.template.variables,
        end_of_turn=chat.end_of_turn[0] if chat.end_of_turn else None,
        reasoning=reasoning.markers if reasoning else None,
        opened=reasoning.opened if reasoning else False,
        guarded=chat.guarded,
        system=chat.parts.with_system is not None,
        prefix=_prefix_info(chat.prefix, model),
    )


def _prefix_info(prefix: Prefix | None, model: Transformer) -> PrefixInfo | None:
    if prefix is None:
        return None
    return PrefixInfo(
        sha256=prefix.sha256,
        tokens=len(prefix.tokens),
        rest=prefix.rest,
        rest_tokens=prefix.rest_tokens,
        bytes=sum(variable.shape.num_elements() * variable.dtype.size for variable in model.prefix.values()),
    )
