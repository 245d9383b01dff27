"""Where a checkpoint's tokenizer comes from: a directory -> nodes and reference.

A tokenizer.json is compiled as it stands, and the ``tokenizers`` library on that file is the reference. Other
files (vocab.json and merges.txt, vocab.txt, SentencePiece models) go through the converters that transformers
ships; what they give is then compiled in the same way. Kinds that transformers has in Python only have no
nodes: they are compiled by hand, with the Python tokenizer as the reference.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from exporter.errors import CheckpointError
from exporter.impostors import what_it_is
from exporter.tokenizer import nodes

_CLEAN_UP_BPE = "clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output"
_SUFFIXES = {".json", ".model", ".spm", ".txt"}
_WAY_OUT = "'--tokenizer none' exports the model without text signatures"


@dataclass(frozen=True)
class Settings:
    """What the configuration files beside a tokenizer say: ids of special tokens, and decoding."""

    bos: int | None = None
    eos: int | None = None
    pad: int | None = None
    clean_up: bool = False


@dataclass(frozen=True)
class JsonSource:
    """A tokenizer with nodes. ``tokenizer`` is the library's, without truncation and padding."""

    file: nodes.TokenizerFile
    tokenizer: Tokenizer
    settings: Settings


@dataclass(frozen=True)
class PythonSource:
    """A tokenizer that transformers has in Python only; ``tokenizer`` is that object."""

    tokenizer: Any
    directory: Path
    settings: Settings


def read_source(source: Path) -> JsonSource | PythonSource:
    """Reads the tokenizer of a checkpoint directory, or a tokenizer.json itself.

    Raises:
      CheckpointError: no tokenizer files, or files that cannot be read.
      TokenizerUnsupportedError: a node that is not known.
    """
    _refuse_impostors(source)
    path = source / "tokenizer.json" if source.is_dir() else source
    if path.is_file():
        return _from_json(path)
    if not source.is_dir():
        raise CheckpointError(f"{source}: no such file or directory")
    return _from_transformers(source)


def _refuse_impostors(source: Path) -> None:
    """A pointer in the place of a vocabulary would be read as a strange vocabulary."""
    files = source.iterdir() if source.is_dir() else [source]
    for path in sorted(file for file in files if file.suffix in _SUFFIXES and file.is_file()):
        what = what_it_is(path) if path.stat().st_size else None
        if what is not None:
            raise CheckpointError(f"{path} is {what}; {_WAY_OUT}")


def _from_json(path: Path) -> JsonSource:
    file = nodes.read_tokenizer(path)
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:
        raise CheckpointError(f"{path}: the tokenizers library cannot read it: {error}") from error
    if isinstance(file.model, nodes.Unigram):
        file = file.model_copy(update={"model": _as_read(tokenizer)})
    settings = _settings(path.parent)
    bos, eos, pad = (_token_id(settings, tokenizer, f"{role}_token") for role in ("bos", "eos", "pad"))
    return JsonSource(file, _plain(tokenizer), Settings(bos, eos, pad, _cleans_up(settings, file.model)))


def _as_read(tokenizer: Tokenizer) -> nodes.Model:
    """The model as the library holds it: it reads decimals to the last bit but one, which decides ties."""
    return nodes.parse_tokenizer(json.loads(tokenizer.to_str())).model


def _plain(tokenizer: Tokenizer) -> Tokenizer:
    """Without truncation and padding, which the served graph does itself."""
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _from_transformers(directory: Path) -> JsonSource | PythonSource:
    """Lets transformers read files of an older layout."""
    tokenizer = _load(directory)
    ids = (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id)
    backend = getattr(tokenizer, "_tokenizer", None)
    if not isinstance(backend, Tokenizer):
        return PythonSource(
            tokenizer, directory, Settings(*ids, bool(tokenizer.clean_up_tokenization_spaces))
        )
    file = nodes.parse_tokenizer(json.loads(backend.to_str()))
    settings = {
        name: getattr(tokenizer, name, False) for name in ("clean_up_tokenization_spaces", _CLEAN_UP_BPE)
    }
    return JsonSource(file, _plain(backend), Settings(*ids, _cleans_up(settings, file.model)))


def _load(directory: Path) -> Any:
    """The transformers tokenizer of a directory: by its configuration, or else by its files."""
    import transformers

    name, options = "AutoTokenizer", {"local_files_only": True, "trust_remote_code": False}
    if not any((directory / file).is_file() for file in ("config.json", "tokenizer_config.json")):
        name, more = _class_by_files(directory)
        options |= more
    try:
        tokenizer = getattr(transformers, name).from_pretrained(str(directory), **options)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, ImportError) as error:
        raise CheckpointError(_unreadable(directory, error)) from error
    names = sorted(set(type(tokenizer).vocab_files_names.values()))
    if names and not any((directory / name).is_file() for name in names):
        # transformers makes up an empty vocabulary where it finds none.
        raise CheckpointError(f"{directory}: no tokenizer files; expected {' or '.join(names)}; {_WAY_OUT}")
    return tokenizer


def _unreadable(directory: Path, error: Exception) -> str:
    """Why transformers gave up, in one line: mostly it has no converter for a SentencePiece model."""
    models = sorted(path.name for path in directory.iterdir() if path.suffix in (".model", ".spm"))
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if not models:
        return f"{directory}: transformers cannot read its tokenizer files: {reason}; {_WAY_OUT}"
    try:
        kind = repr(json.loads((directory / "config.json").read_bytes()).get("model_type"))
    except (OSError, ValueError, AttributeError):
        kind = "unknown"
    return (
        f"{directory}: transformers has no converter for {' and '.join(models)} of model_type {kind} "
        f"({reason}); put the model's tokenizer.json there; {_WAY_OUT}"
    )


def _class_by_files(directory: Path) -> tuple[str, dict[str, bool]]:
    """The tokenizer class, and its options, that a directory without configuration files must mean."""
    vocab, merges, words = (directory / name for name in ("vocab.json", "merges.txt", "vocab.txt"))
    if vocab.is_file() and merges.is_file():
        whole_words = "</w>" in merges.read_text(encoding="utf-8")
        return ("OpenAIGPTTokenizer" if whole_words else "GPT2Tokenizer"), {}
    if words.is_file():
        entries = words.read_text(encoding="utf-8").splitlines()
        cased = any(entry != entry.lower() for entry in entries if not entry.startswith("["))
        return "BertTokenizer", {"do_lower_case": not cased}
    found = sorted(path.name for path in directory.iterdir())
    raise CheckpointError(
        f"{directory}: no tokenizer.json, vocab.json with merges.txt, or vocab.txt; a SentencePiece model "
        f"needs a config.json that names its model_type (found: {', '.join(found) or 'nothing'}); {_WAY_OUT}"
    )


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


def _token_id(settings: dict[str, Any], tokenizer: Tokenizer, role: str) -> int | None:
    """The id of the token that the settings name for a role."""
    value = settings.get(role)
    content = value.get("content") if isinstance(value, dict) else value
    return tokenizer.token_to_id(content) if isinstance(content, str) else None


def _cleans_up(settings: dict[str, Any], model: nodes.Model) -> bool:
    """transformers ignores the setting for BPE, unless another one insists."""
    insists = bool(settings.get(_CLEAN_UP_BPE, False))
    return bool(settings.get("clean_up_tokenization_spaces", False)) and (
        insists or not isinstance(model, nodes.BPE)
    )
