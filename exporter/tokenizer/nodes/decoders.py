"""Decoders."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator

from exporter.tokenizer.nodes.base import Metaspace, Node, Pattern


class ByteLevelDecoder(Node):
    type: Literal["ByteLevel"]
    add_prefix_space: bool = True
    trim_offsets: bool = True
    use_regex: bool = True


class WordPieceDecoder(Node):
    type: Literal["WordPiece"]
    prefix: str = "##"
    cleanup: bool = True


class BPEDecoder(Node):
    type: Literal["BPEDecoder"]
    suffix: str = "</w>"


class CTC(Node):
    type: Literal["CTC"]
    pad_token: str = "<pad>"
    word_delimiter_token: str = "|"
    cleanup: bool = True


class ReplaceDecoder(Node):
    type: Literal["Replace"]
    pattern: Pattern
    content: str


class Fuse(Node):
    type: Literal["Fuse"]


class StripDecoder(Node):
    type: Literal["Strip"]
    content: str = " "
    start: int = 0
    stop: int = 0


class ByteFallback(Node):
    type: Literal["ByteFallback"]


class DecoderSequence(Node):
    type: Literal["Sequence"]
    decoders: tuple[Decoder, ...]


Decoder = Annotated[
    ByteLevelDecoder | WordPieceDecoder | BPEDecoder | Metaspace | CTC | ReplaceDecoder | Fuse | StripDecoder
    | ByteFallback | DecoderSequence,
    Discriminator("type"),
]  # fmt: skip

DecoderSequence.model_rebuild()
