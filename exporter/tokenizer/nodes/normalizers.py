"""Normalizers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator

from exporter.tokenizer.nodes.base import Node, Pattern


class NFC(Node):
    type: Literal["NFC"]


class NFD(Node):
    type: Literal["NFD"]


class NFKC(Node):
    type: Literal["NFKC"]


class NFKD(Node):
    type: Literal["NFKD"]


class Lowercase(Node):
    type: Literal["Lowercase"]


class StripNormalizer(Node):
    type: Literal["Strip"]
    strip_left: bool = True
    strip_right: bool = True


class StripAccents(Node):
    type: Literal["StripAccents"]


class BertNormalizer(Node):
    """``strip_accents`` None means: as ``lowercase``."""

    type: Literal["BertNormalizer"]
    clean_text: bool = True
    handle_chinese_chars: bool = True
    strip_accents: bool | None = None
    lowercase: bool = True


class ReplaceNormalizer(Node):
    type: Literal["Replace"]
    pattern: Pattern
    content: str


class Prepend(Node):
    type: Literal["Prepend"]
    prepend: str


class Nmt(Node):
    type: Literal["Nmt"]


class Precompiled(Node):
    """SentencePiece's compiled character map, base64."""

    type: Literal["Precompiled"]
    precompiled_charsmap: str


class ByteLevelNormalizer(Node):
    type: Literal["ByteLevel"]


class NormalizerSequence(Node):
    type: Literal["Sequence"]
    normalizers: tuple[Normalizer, ...]


Normalizer = Annotated[
    NFC | NFD | NFKC | NFKD | Lowercase | StripNormalizer | StripAccents | BertNormalizer | ReplaceNormalizer
    | Prepend | Nmt | Precompiled | ByteLevelNormalizer | NormalizerSequence,
    Discriminator("type"),
]  # fmt: skip

NormalizerSequence.model_rebuild()
