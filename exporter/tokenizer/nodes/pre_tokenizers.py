"""Pre-tokenizers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator

from exporter.tokenizer.nodes.base import Behavior, Metaspace, Node, Pattern


class ByteLevelPreTokenizer(Node):
    """``trim_offsets`` changes offsets only."""

    type: Literal["ByteLevel"]
    add_prefix_space: bool = True
    trim_offsets: bool = True
    use_regex: bool = True


class Split(Node):
    type: Literal["Split"]
    pattern: Pattern
    behavior: Behavior
    invert: bool = False


class Whitespace(Node):
    type: Literal["Whitespace"]


class WhitespaceSplit(Node):
    type: Literal["WhitespaceSplit"]


class BertPreTokenizer(Node):
    type: Literal["BertPreTokenizer"]


class Digits(Node):
    type: Literal["Digits"]
    individual_digits: bool = False


class Punctuation(Node):
    type: Literal["Punctuation"]
    behavior: Behavior = "Isolated"


class CharDelimiterSplit(Node):
    type: Literal["CharDelimiterSplit"]
    delimiter: str


class UnicodeScripts(Node):
    type: Literal["UnicodeScripts"]


class FixedLength(Node):
    type: Literal["FixedLength"]
    length: int = 5


class PreTokenizerSequence(Node):
    type: Literal["Sequence"]
    pretokenizers: tuple[PreTokenizer, ...]


PreTokenizer = Annotated[
    ByteLevelPreTokenizer | Split | Metaspace | Whitespace | WhitespaceSplit | BertPreTokenizer | Digits
    | Punctuation | CharDelimiterSplit | UnicodeScripts | FixedLength | PreTokenizerSequence,
    Discriminator("type"),
]  # fmt: skip

PreTokenizerSequence.model_rebuild()
