"""What the reference would have beside the weights: config.json, generation_config.json, the tokenizer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exporter.checkpoint.keras_hub.architecture import reference_config
from exporter.checkpoint.keras_hub.architectures import architecture_of
from exporter.checkpoint.keras_hub.tokenizer_files import NO_SPECIAL, write_tokenizer
from exporter.checkpoint.tensor import StoredTensor
from exporter.errors import CheckpointError, UnsupportedError

if TYPE_CHECKING:
    from exporter.checkpoint.keras_hub.preset import Described, Preset

_TASKS = ("CausalLM", "Seq2SeqLM")
_TIE, _TIE_OF_T5 = "tie_word_embeddings", "tie_embedding_weights"
#: The head's own weights; where it has none, it is tied to the token table.
_HEAD = "layers/reversible_embedding/vars/1"
#: What KerasHub's preprocessors take where a preset has none.
_SEQUENCE_LENGTH = 1024
_SAMPLER = (
    "a KerasHub preset holds no sampler: the export is greedy unless told otherwise; KerasHub's own generate "
    "draws from the 5 best tokens by default"
)


def write_reference(preset: Preset, variables: Mapping[str, StoredTensor], target: Path) -> list[str]:
    """Writes the reference's files to ``target``; returns notes on what the preset left open."""
    backbone = preset.backbone
    architecture = architecture_of(backbone.class_name, backbone.config)
    if preset.task and not preset.task.class_name.endswith(_TASKS):
        raise UnsupportedError(
            f"task.json is of class {preset.task.class_name}, which generates no text; allowed are classes "
            f"that end in {' or '.join(_TASKS)}"
        )
    config = reference_config(backbone.class_name, architecture, backbone.config)
    config[_TIE] = _tied(backbone, variables)
    notes = [_SAMPLER, *architecture.lost]
    if architecture.length:
        config[architecture.length] = length = _sequence_length(preset)
        notes.append(
            f"this preset does not hold the model's context length: {architecture.length}={length} is the "
            "sequence_length of its preprocessor; --prompt-lengths go beyond it where the model does"
        )
    special = NO_SPECIAL
    if preset.tokenizer:
        tokenizer = preset.tokenizer
        special = write_tokenizer(tokenizer.class_name, tokenizer.config, preset.assets, target)
    ids = special.config() | architecture.generation(special)
    _write(target / "config.json", config | ids)
    _write(target / "generation_config.json", ids)
    return notes


def _tied(backbone: Described, variables: Mapping[str, StoredTensor]) -> bool:
    """What the weights say: some backbones leave it out of their configuration."""
    tied = _HEAD not in variables
    said = backbone.config.get(_TIE, backbone.config.get(_TIE_OF_T5))
    if said is not None and bool(said) != tied:
        raise CheckpointError(
            f"config.json ties the head to the token table or does not ({said!r}), but the weights hold "
            f"{'no head' if tied else 'a head of its own'}"
        )
    return tied


def _sequence_length(preset: Preset) -> int:
    found = preset.preprocessor.config.get("sequence_length") if preset.preprocessor else None
    return found if isinstance(found, int) and found > 0 else _SEQUENCE_LENGTH


def _write(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1), encoding="utf-8")
