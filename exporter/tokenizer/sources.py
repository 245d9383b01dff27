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
    """

    file: nodes.TokenizerFile
    reference: Tokenizer
    origin: Path
    bos: int | None = None
    eos: int | None = None
    pad: int | None = None


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
    bos, eos, pad = (_token_id(path.parent, reference, f"{role}_token") for role in ("bos", "eos", "pad"))
    return TokenizerSource(file, reference, path, bos, eos, pad)


def read_reference(path: Path) -> Tokenizer:
    """The library's tokenizer of a tokenizer.json, without truncation and padding."""
    try:
        reference = Tokenizer.from_file(str(path))
    except Exception as error:
        raise CheckpointError(f"{path}: the tokenizers library cannot read it: {error}") from error
    reference.no_truncation()
    reference.no_padding()
    return reference


def _token_id(directory: Path, reference: Tokenizer, role: str) -> int | None:
    """The id of the token that the configuration files name for a role."""
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        path = directory / name
        value: Any = json.loads(path.read_bytes()).get(role) if path.is_file() else None
        content = value.get("content") if isinstance(value, dict) else value
        if isinstance(content, str):
            return reference.token_to_id(content)
    return None
