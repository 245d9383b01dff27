"""The tokenizer that the installed transformers makes of a directory, or why it makes none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from exporter.errors import CheckpointError, GenserveError, TokenizerUnsupportedError

WAY_OUT = "'--tokenizer none' exports the model without text signatures"
_CONFIGURED = ("config.json", "tokenizer_config.json")
_NAMES = {"tokenizer.json", "vocab.json", "merges.txt", "vocab.txt", "dict.txt", "bpe.codes"}
_MODELS = (".model", ".spm")
#: Files of a directory that a message lists at most.
_NAMED = 10

#: Classes that transformers has in Python only, and that are compiled by hand (``python_kinds``).
PYTHON_KINDS = ("BlenderbotSmallTokenizer", "ByT5Tokenizer", "M2M100Tokenizer", "MarianTokenizer")
PYTHON_ONLY = f"exists in Python only, and is not compiled; compiled are {', '.join(PYTHON_KINDS)}"


def load_transformers(directory: Path) -> Any:
    """By the directory's configuration, or else by its files. No remote code is run, nothing is downloaded.

    Raises:
      CheckpointError: no tokenizer files, or none that transformers reads; the message names the file meant.
      TokenizerUnsupportedError: a class that would not be compiled, whatever it needs to be read.
    """
    import transformers

    name, options = "AutoTokenizer", {"local_files_only": True, "trust_remote_code": False}
    if not any((directory / file).is_file() for file in _CONFIGURED):
        name, more = _class_by_files(directory)
        options |= more
    try:
        tokenizer = getattr(transformers, name).from_pretrained(str(directory), **options)
    except Exception as error:
        raise _refusal(directory, error) from error
    names = sorted(set(type(tokenizer).vocab_files_names.values()))
    if names and not any((directory / name).is_file() for name in (*names, "tokenizer.json")):
        # transformers makes up an empty vocabulary where it finds none.
        raise CheckpointError(f"{directory}: no tokenizer files; expected {' or '.join(names)}; {WAY_OUT}")
    return tokenizer


def files_of(directory: Path) -> str:
    """The files that transformers reads a tokenizer from, for messages."""
    return " and ".join(_files(directory))


def _files(directory: Path) -> list[str]:
    names = sorted(path.name for path in directory.iterdir())
    return [name for name in names if name in _NAMES or name.endswith(_MODELS)]


def _refusal(directory: Path, error: Exception) -> GenserveError:
    """Why transformers gave up: mostly it has no converter for a SentencePiece model."""
    text = str(error).strip()
    reason = text.splitlines()[0] if text else type(error).__name__
    name, kind = _named_class(directory)
    if name is not None and isinstance(error, ImportError):
        return TokenizerUnsupportedError(name, PYTHON_ONLY, files_of(directory))
    if not files_of(directory):
        return CheckpointError(f"{directory}: no tokenizer files (found: {_found(directory)}); {WAY_OUT}")
    models = sorted(path.name for path in directory.iterdir() if path.suffix in _MODELS)
    if not models or (directory / "tokenizer.json").is_file():
        return CheckpointError(
            f"{directory}: transformers cannot read its tokenizer files: {reason}; {WAY_OUT}"
        )
    return CheckpointError(
        f"{directory}: transformers has no converter for {' and '.join(models)} of model_type {kind} "
        f"({reason}); put the model's tokenizer.json there; {WAY_OUT}"
    )


def _named_class(directory: Path) -> tuple[str | None, str]:
    """The class in Python only that the configuration means, if it is not compiled; and the model_type."""
    import transformers
    from transformers.models.auto.tokenization_auto import TOKENIZER_MAPPING_NAMES

    config, model = (_configuration(directory / name) for name in reversed(_CONFIGURED))
    kind = model.get("model_type")
    name = config.get("tokenizer_class") or model.get("tokenizer_class") or TOKENIZER_MAPPING_NAMES.get(kind)
    found = getattr(transformers, str(name), None)
    fast = isinstance(found, type) and issubclass(found, transformers.PreTrainedTokenizerFast)
    known = isinstance(found, type) and not fast and name not in PYTHON_KINDS
    return (str(name) if known else None), repr(kind) if kind else "unknown"


def _found(directory: Path) -> str:
    """Names of what is there, the first of many."""
    names = sorted(path.name for path in directory.iterdir())
    more = [f"{len(names) - _NAMED} more"] if len(names) > _NAMED else []
    return ", ".join(names[:_NAMED] + more) or "nothing"


def _configuration(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


def _class_by_files(directory: Path) -> tuple[str, dict[str, bool]]:
    """The tokenizer class, and its options, that a directory without configuration files must mean."""
    vocab, merges, words = (directory / name for name in ("vocab.json", "merges.txt", "vocab.txt"))
    if (directory / "tokenizer.json").is_file():
        return "PreTrainedTokenizerFast", {}
    if vocab.is_file() and merges.is_file():
        whole_words = "</w>" in merges.read_text(encoding="utf-8")
        return ("OpenAIGPTTokenizer" if whole_words else "GPT2Tokenizer"), {}
    if words.is_file():
        entries = words.read_text(encoding="utf-8").splitlines()
        cased = any(entry != entry.lower() for entry in entries if not entry.startswith("["))
        return "BertTokenizer", {"do_lower_case": not cased}
    raise CheckpointError(
        f"{directory}: no tokenizer.json, vocab.json with merges.txt, or vocab.txt; a SentencePiece model "
        f"needs a config.json that names its model_type (found: {_found(directory)}); {WAY_OUT}"
    )
