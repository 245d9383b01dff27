"""Where a checkpoint's tokenizer comes from: a directory -> nodes and reference.

A tokenizer.json is compiled as it stands, with what its neighbours add to it (``neighbours``), and the
``tokenizers`` library on those files is the reference. Other files (vocab.json and merges.txt, vocab.txt,
SentencePiece models) go through the converters that transformers ships; what they give is then compiled in
the same way, and so is what AutoTokenizer of the installed transformers makes of a tokenizer.json, where that
is asked for. Kinds that transformers has in Python only have no nodes: they are compiled by hand, with the
Python tokenizer as the reference.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from tokenizers import Tokenizer

from exporter.choices import TokenizerReference
from exporter.errors import CheckpointError, TokenizerUnsupportedError
from exporter.impostors import what_it_is
from exporter.tokenizer import nodes
from exporter.tokenizer.from_gguf import write_tokenizer
from exporter.tokenizer.from_transformers import WAY_OUT, files_of, load_transformers
from exporter.tokenizer.neighbours import Neighbours

_CLEAN_UP = "clean_up_tokenization_spaces"
_CLEAN_UP_BPE = f"{_CLEAN_UP}_for_bpe_even_though_it_will_corrupt_output"
_SUFFIXES = {".json", ".model", ".spm", ".txt"}


@dataclass(frozen=True)
class Settings:
    """What the configuration files beside a tokenizer say: ids of special tokens, and decoding.

    Attributes:
      split_special: special tokens written in a text count as plain text, whatever the export asks for.
    """

    bos: int | None = None
    eos: int | None = None
    pad: int | None = None
    clean_up: bool = False
    split_special: bool = False


@dataclass(frozen=True)
class JsonSource:
    """A tokenizer with nodes.

    Attributes:
      tokenizer: the library's, without truncation and padding.
      named: the files it was read from, for messages.
      auto: transformers' object around it, where that is the reference.
      ignored: fields of the file that the library does not read.
    """

    file: nodes.TokenizerFile
    tokenizer: Tokenizer
    settings: Settings
    named: str = "tokenizer.json"
    auto: Any = None
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True)
class PythonSource:
    """A tokenizer that transformers has in Python only; ``tokenizer`` is that object."""

    tokenizer: Any
    directory: Path
    settings: Settings

    @property
    def named(self) -> str:
        """The files it was read from, for messages."""
        return files_of(self.directory)


def read_source(source: Path, origin: TokenizerReference = "files") -> JsonSource | PythonSource:
    """Reads the tokenizer of a checkpoint directory, or a tokenizer.json itself.

    Raises:
      CheckpointError: no tokenizer files, or files that cannot be read.
      TokenizerUnsupportedError: a node that is not known.
    """
    _refuse_impostors(source)
    write_tokenizer(source)
    path = tokenizer_json(source)
    if path is not None and origin == "files":
        return _from_json(path)
    if not source.exists():
        raise CheckpointError(f"{source}: no such file or directory")
    return _from_transformers(source if source.is_dir() else source.parent)


def tokenizer_json(source: Path) -> Path | None:
    """The tokenizer.json of a directory, or ``source`` itself where it is a file; None without."""
    path = source / "tokenizer.json" if source.is_dir() else source
    return path if path.is_file() else None


def _refuse_impostors(source: Path) -> None:
    """A pointer in the place of a vocabulary would be read as a strange vocabulary."""
    files = source.iterdir() if source.is_dir() else [source]
    for path in sorted(file for file in files if file.suffix in _SUFFIXES and file.is_file()):
        what = what_it_is(path) if path.stat().st_size else None
        if what is not None:
            raise CheckpointError(f"{path} is {what}; {WAY_OUT}")


def _from_json(path: Path) -> JsonSource:
    file = nodes.read_tokenizer(path)
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:
        raise CheckpointError(f"{path}: the tokenizers library cannot read it: {error}") from error
    if isinstance(file.model, nodes.Unigram):
        file = file.model_copy(update={"model": _as_read(tokenizer)})
    neighbours = Neighbours(path.parent)
    changed = {name: _section(tokenizer, name) for name in neighbours.apply(tokenizer)}
    bos, eos, pad = (_id(tokenizer, neighbours.role(f"{role}_token")) for role in ("bos", "eos", "pad"))
    given = neighbours.settings
    settings = Settings(bos, eos, pad, _cleans_up(given, file.model), bool(given.split_special_tokens))
    ignored = nodes.ignored_fields(file)
    return JsonSource(file.model_copy(update=changed), _plain(tokenizer), settings, ignored=ignored)


def _as_read(tokenizer: Tokenizer) -> nodes.Model:
    """The model as the library holds it: it reads decimals to the last bit but one, which decides ties."""
    return nodes.parse_tokenizer(json.loads(tokenizer.to_str())).model


_SECTIONS: dict[str, TypeAdapter[Any]] = {
    "normalizer": TypeAdapter(nodes.Normalizer),
    "pre_tokenizer": TypeAdapter(nodes.PreTokenizer),
    "post_processor": TypeAdapter(nodes.PostProcessor),
}


def _section(tokenizer: Tokenizer, name: str) -> nodes.Node:
    """A section as the library holds it now."""
    state = json.loads(getattr(tokenizer, name).__getstate__())
    return _SECTIONS[name].validate_python(state)  # type: ignore[no-any-return]


def _id(tokenizer: Tokenizer, content: str | None) -> int | None:
    return None if content is None else tokenizer.token_to_id(content)


def _plain(tokenizer: Tokenizer) -> Tokenizer:
    """Without truncation and padding, which the served graph does itself."""
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _from_transformers(directory: Path) -> JsonSource | PythonSource:
    """What AutoTokenizer of the installed transformers makes of the files."""
    tokenizer = load_transformers(directory)
    ids = (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id)
    backend = getattr(tokenizer, "_tokenizer", None)
    split = bool(tokenizer.split_special_tokens)
    if not isinstance(backend, Tokenizer):
        settings = Settings(*ids, bool(tokenizer.clean_up_tokenization_spaces), split)
        return PythonSource(tokenizer, directory, settings)
    named = f"{type(tokenizer).__name__} that transformers makes of {files_of(directory)}"
    try:
        file = nodes.parse_tokenizer(json.loads(backend.to_str()))
    except TokenizerUnsupportedError as error:
        raise error.of(named) from None
    settings = Settings(*ids, _cleans_up(tokenizer, file.model), split)
    return JsonSource(file, _plain(backend), settings, named, auto=tokenizer)


def _cleans_up(settings: Any, model: nodes.Model) -> bool:
    """transformers 5 ignores the setting for BPE, where it spoils text, unless another one insists."""
    insists = bool(getattr(settings, _CLEAN_UP_BPE, False))
    return bool(getattr(settings, _CLEAN_UP, False)) and (insists or not isinstance(model, nodes.BPE))
