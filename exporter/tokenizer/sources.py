"""Where a checkpoint's tokenizer comes from: a directory -> tokenizer.json, parsed, with its reference."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from exporter.errors import CheckpointError
from exporter.tokenizer import nodes


@dataclass(frozen=True)
class TokenizerSource:
    """What the compiler reads.

    Attributes:
      file: the nodes.
      reference: the ``tokenizers`` library's tokenizer of the same file: the oracle, and the source of
        character knowledge. Without truncation and padding.
      origin: the file it was read from.
      bos, eos, pad: ids of these tokens, where tokenizer_config.json or special_tokens_map.json name them.
      clean_up: whether transformers cleans up spaces when it decodes.
    """

    file: nodes.TokenizerFile
    reference: Tokenizer
    origin: Path
    bos: int | None = None
    eos: int | None = None
    pad: int | None = None
    clean_up: bool = False


def read_source(source: Path) -> TokenizerSource:
    """Reads the tokenizer of a checkpoint directory, or a tokenizer.json itself.

    Raises:
      CheckpointError: no tokenizer files, or files that cannot be read.
      TokenizerUnsupportedError: a node that is not known.
    """
    path = source / "tokenizer.json" if source.is_dir() else source
    if not path.is_file():
        raise CheckpointError(f"{source}: no tokenizer.json")
    return _from_json(path)


def _from_json(path: Path) -> TokenizerSource:
    file = nodes.read_tokenizer(path)
    reference = read_reference(path)
    settings = _settings(path.parent)
    bos, eos, pad = (_token_id(settings, reference, f"{role}_token") for role in ("bos", "eos", "pad"))
    return TokenizerSource(file, reference, path, bos, eos, pad, _cleans_up(settings, file.model))


def read_reference(path: Path) -> Tokenizer:
    """The library's tokenizer of a tokenizer.json, without truncation and padding."""
    try:
        reference = Tokenizer.from_file(str(path))
    except Exception as error:
        raise CheckpointError(f"{path}: the tokenizers library cannot read it: {error}") from error
    reference.no_truncation()
    reference.no_padding()
    return reference


def _settings(directory: Path) -> dict[str, Any]:
    """tokenizer_config.json over special_tokens_map.json."""
    settings: dict[str, Any] = {}
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        path = directory / name
        if path.is_file():
            try:
                settings |= json.loads(path.read_bytes())
            except (OSError, ValueError, TypeError) as error:
                raise CheckpointError(f"{path}: not a readable JSON object: {error}") from error
    return settings


def _token_id(settings: dict[str, Any], reference: Tokenizer, role: str) -> int | None:
    """The id of the token that the settings name for a role."""
    value = settings.get(role)
    content = value.get("content") if isinstance(value, dict) else value
    return reference.token_to_id(content) if isinstance(content, str) else None


def _cleans_up(settings: dict[str, Any], model: nodes.Model) -> bool:
    """transformers ignores the setting for BPE, unless another one insists."""
    insists = settings.get("clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output", False)
    return bool(settings.get("clean_up_tokenization_spaces", False)) and (
        insists or not isinstance(model, nodes.BPE)
    )
