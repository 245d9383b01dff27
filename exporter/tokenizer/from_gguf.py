"""The tokenizer that a GGUF file's metadata describe, as transformers builds it: written as tokenizer.json.

Source: ``get_gguf_tokenizer`` and ``convert_gguf_tokenizer`` of transformers 5.24
(integrations/gguf/gguf_tokenizer_mapping.py). The first of them imports PyTorch to read the file and is
repeated here; the second is called.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from exporter.errors import CheckpointError

#: Left by the checkpoint: ``file``, ``architecture``, ``model_type``, and ``metadata`` behind ``tokenizer.``.
PARTS = "gguf_tokenizer.json"
_TOKENIZER = {
    "ggml.model": "tokenizer_type",
    "ggml.pre": "pre_tokenizer_type",
    "ggml.tokens": "tokens",
    "ggml.scores": "scores",
    "ggml.token_type": "token_type",
    "ggml.merges": "merges",
    "ggml.precompiled_charsmap": "precompiled_charsmap",
    "ggml.bos_token_id": "bos_token_id",
    "ggml.eos_token_id": "eos_token_id",
    "ggml.unknown_token_id": "unk_token_id",
    "ggml.padding_token_id": "pad_token_id",
    "ggml.add_space_prefix": "add_prefix_space",
}
_SETTINGS = {
    "chat_template": "chat_template",
    "ggml.add_bos_token": "add_bos_token",
    "ggml.add_eos_token": "add_eos_token",
}
_SPECIAL = {
    "bos_token": "ggml.bos_token_id",
    "eos_token": "ggml.eos_token_id",
    "unk_token": "ggml.unknown_token_id",
    "pad_token": "ggml.padding_token_id",
}


def write_tokenizer(directory: Path) -> None:
    """Writes tokenizer.json and its neighbours beside ``PARTS``, unless they are there; without it, nothing.

    Raises:
      CheckpointError: metadata that transformers makes no tokenizer of.
    """
    if not (directory / PARTS).is_file() or (directory / "tokenizer.json").is_file():
        return
    described = json.loads((directory / PARTS).read_text(encoding="utf-8"))
    try:
        _build(described).save_pretrained(directory)
        _as_it_stands(directory / "tokenizer_config.json")
    except CheckpointError:
        raise
    except Exception as error:  # whatever the classes make of metadata that do not fit together
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(
            f"{described['file']}: transformers makes no tokenizer of its metadata: {reason}; "
            "'--tokenizer none' exports the model without text signatures"
        ) from error


def _as_it_stands(path: Path) -> None:
    """The model's own class would add to tokenizer.json what it always has, and the file does not say."""
    settings = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(settings | {"tokenizer_class": "TokenizersBackend"}), encoding="utf-8")


def _build(described: dict[str, Any]) -> Any:
    from transformers import PreTrainedTokenizerFast
    from transformers.models.auto import tokenization_auto

    try:
        from transformers.integrations.gguf import convert_gguf_tokenizer
    except ImportError as error:
        raise CheckpointError(
            "the tokenizer of a GGUF file needs transformers 5.24 or newer: pip install -U transformers"
        ) from error
    metadata = described["metadata"]
    parts = {name: metadata[key] for key, name in _TOKENIZER.items() if key in metadata}
    backend, more = convert_gguf_tokenizer(described["architecture"], parts)
    name = tokenization_auto.TOKENIZER_MAPPING_NAMES.get(described["model_type"])
    found = tokenization_auto.tokenizer_class_from_name(name) if name else None
    return (found or PreTrainedTokenizerFast)(tokenizer_object=backend, **_settings(metadata), **more)


def _settings(metadata: dict[str, Any]) -> dict[str, Any]:
    settings = {name: metadata[key] for key, name in _SETTINGS.items() if key in metadata}
    if metadata["ggml.model"] == "llama":
        settings.setdefault("add_bos_token", True)
    for name, key in _SPECIAL.items():
        settings[name] = metadata["ggml.tokens"][metadata[key]] if key in metadata else None
    return settings
