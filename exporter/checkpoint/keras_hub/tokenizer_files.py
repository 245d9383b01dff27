"""A preset's tokenizer as tokenizer.json and tokenizer_config.json."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, processors

from exporter.checkpoint.checkpoint import read_json
from exporter.checkpoint.keras_hub.sentence_piece import sentence_piece_tokenizer
from exporter.checkpoint.keras_hub.tokenizer_classes import TOKENIZERS, TokenizerKind
from exporter.errors import CheckpointError, UnsupportedError, did_you_mean

VOCABULARY, MERGES, PROTO = "vocabulary.json", "merges.txt", "vocabulary.spm"
#: Keys of a tokenizer's configuration that change no token of a served prompt.
_HARMLESS = {"config_file", "name", "trainable", "dtype", "proto", "has_vision_tokens"}
_READ = {"split_pattern", "add_prefix_space", "unsplittable_tokens", "sequence_length", "add_bos", "add_eos"}


@dataclass(frozen=True)
class Special:
    """Ids of special tokens, for the reference's configurations."""

    bos: int | None
    eos: tuple[int, ...]
    pad: int | None

    def config(self) -> dict[str, Any]:
        """Each written, also where there is none: the reference's defaults are another model's."""
        return {"bos_token_id": self.bos, "eos_token_id": list(self.eos) or None, "pad_token_id": self.pad}


#: Of a preset without a tokenizer.
NO_SPECIAL = Special(None, (), None)


def write_tokenizer(class_name: str, config: Mapping[str, Any], assets: Path, target: Path) -> Special:
    """Writes the reference's files to ``target``.

    Args:
      class_name: KerasHub's class.
      config: its configuration.
      assets: the directory of its vocabulary.

    Raises:
      CheckpointError: assets that are missing or cannot be read.
      UnsupportedError: a class or a setting that is not known.
    """
    kind = TOKENIZERS.get(class_name)
    if kind is None:
        near = did_you_mean(class_name, TOKENIZERS)
        raise UnsupportedError(
            f"a tokenizer of class {class_name} cannot be exported{near}; known are {', '.join(TOKENIZERS)}"
        )
    _check(class_name, config)
    make = _byte_level if kind.splits else _sentence_piece
    tokenizer = make(kind, config, assets)
    for needed in filter(None, (kind.start, kind.ends[0], kind.pad)):
        if tokenizer.token_to_id(needed) is None:
            raise CheckpointError(f"{assets}: the vocabulary of this {class_name} lacks {needed!r}")
    _pack(tokenizer, kind)
    tokenizer.save(str(target / "tokenizer.json"))
    roles = {"bos_token": kind.start, "eos_token": kind.ends[0], "pad_token": kind.pad}
    named = {role: token for role, token in roles.items() if token is not None}
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        **named,
    }
    (target / "tokenizer_config.json").write_text(json.dumps(settings, indent=1), encoding="utf-8")
    return Special(
        bos=tokenizer.token_to_id(kind.start) if kind.start else None,
        eos=tuple(found for end in kind.ends if (found := tokenizer.token_to_id(end)) is not None),
        pad=tokenizer.token_to_id(kind.pad) if kind.pad else 0,
    )


def _check(class_name: str, config: Mapping[str, Any]) -> None:
    for key in sorted(set(config) - _HARMLESS - _READ):
        raise UnsupportedError(f"tokenizer.json: {key}={config[key]!r} is not known of a {class_name}")
    for key in ("sequence_length", "add_bos", "add_eos"):
        if config.get(key):
            raise UnsupportedError(
                f"tokenizer.json: {key}={config[key]!r} cannot be exported: prompts are packed by the "
                "preset's preprocessor, and the served graph pads them"
            )


def _byte_level(kind: TokenizerKind, config: Mapping[str, Any], assets: Path) -> Tokenizer:
    assert kind.splits is not None
    vocabulary, merges = _vocabulary(assets / VOCABULARY), _merges(assets / MERGES)
    try:
        tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
        tokenizer.pre_tokenizer = kind.splits(config)
    except Exception as error:
        raise CheckpointError(f"{assets}: {MERGES} does not fit {VOCABULARY}: {error}") from error
    if kind.composed:
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.decoder = decoders.ByteLevel()
    given = (kind.start, *kind.ends, kind.pad, *kind.specials, *(config.get("unsplittable_tokens") or ()))
    special = [token for token in dict.fromkeys(given) if token and token in vocabulary]
    marks = _marks(vocabulary, merges) if kind.marks else []
    _add(tokenizer, [token for token in marks if token not in special], special=False)
    _add(tokenizer, special, special=True)
    return tokenizer


def _marks(vocabulary: Mapping[str, int], merges: Iterable[tuple[str, str]]) -> list[str]:
    """Tokens of several characters that no merge makes, in the order of their ids."""
    made = {left + right for left, right in merges}
    return sorted(
        (token for token in vocabulary if len(token) > 1 and token not in made), key=vocabulary.__getitem__
    )


def _add(tokenizer: Tokenizer, tokens: Iterable[str], *, special: bool) -> None:
    """The reference lets BART's <mask> take the space before it."""
    added = [
        AddedToken(token, normalized=False, special=special, lstrip=token == "<mask>") for token in tokens
    ]
    (tokenizer.add_special_tokens if special else tokenizer.add_tokens)(added)


def _vocabulary(path: Path) -> dict[str, int]:
    _there(path)
    vocabulary = read_json(path)
    if not all(type(index) is int and index >= 0 for index in vocabulary.values()):
        raise CheckpointError(f"{path} must map tokens to ids")
    return vocabulary


def _merges(path: Path) -> list[tuple[str, str]]:
    _there(path)
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except ValueError as error:
        raise CheckpointError(f"{path} is not UTF-8: {error}") from error
    pairs = [tuple(line.split(" ")) for line in lines if line.strip() and not line.startswith("#version")]
    for pair in pairs:
        if len(pair) != 2:
            raise CheckpointError(f"{path}: {' '.join(pair)!r} must be two tokens with a space between them")
    return pairs  # type: ignore[return-value]


def _sentence_piece(kind: TokenizerKind, config: Mapping[str, Any], assets: Path) -> Tokenizer:
    _there(assets / PROTO)
    return sentence_piece_tokenizer(assets / PROTO)


def _there(path: Path) -> None:
    if not path.is_file():
        raise CheckpointError(f"{path} is missing, which the preset's tokenizer is read from")


def _pack(tokenizer: Tokenizer, kind: TokenizerKind) -> None:
    """What KerasHub's preprocessors put around a prompt."""
    before = [kind.start] if kind.start else []
    behind = [kind.ends[0]] if kind.packed_end else []
    around = dict.fromkeys((*before, *behind))
    if around:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=[*before, "$A", *behind],
            special_tokens=[(token, tokenizer.token_to_id(token)) for token in around],
        )
