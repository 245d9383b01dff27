"""tokenizer.json as typed, frozen nodes: the compiler's input language.

Every section is a union discriminated by ``type``. Files of all ages are read: a model without ``type``,
merges as ``"a b"`` strings or as pairs, ``add_prefix_space`` where ``prepend_scheme`` stands today. A node
that is not listed here is refused with its path, such as ``pre_tokenizer.pretokenizers[1]``: what is not
understood cannot be reproduced. A field that is not listed is one that the library does not read:
``ignored_fields`` names it. ``truncation`` and ``padding`` are read and set aside (the
served graph has its own buckets).

Source: the serialisation of the ``tokenizers`` library, 0.9 to 0.23.
"""

from __future__ import annotations

from exporter.tokenizer.nodes.base import (
    Behavior,
    Metaspace,
    Node,
    Pattern,
    PrependScheme,
)
from exporter.tokenizer.nodes.decoders import (
    CTC,
    BPEDecoder,
    ByteFallback,
    ByteLevelDecoder,
    Decoder,
    DecoderSequence,
    Fuse,
    ReplaceDecoder,
    StripDecoder,
    WordPieceDecoder,
)
from exporter.tokenizer.nodes.file import (
    AddedToken,
    TokenizerFile,
    ignored_fields,
    parse_tokenizer,
    read_tokenizer,
)
from exporter.tokenizer.nodes.models import (
    BPE,
    Model,
    Unigram,
    WordLevel,
    WordPiece,
)
from exporter.tokenizer.nodes.normalizers import (
    NFC,
    NFD,
    NFKC,
    NFKD,
    BertNormalizer,
    ByteLevelNormalizer,
    Lowercase,
    Nmt,
    Normalizer,
    NormalizerSequence,
    Precompiled,
    Prepend,
    ReplaceNormalizer,
    StripAccents,
    StripNormalizer,
)
from exporter.tokenizer.nodes.post_processors import (
    BertProcessing,
    ByteLevelProcessing,
    PostProcessor,
    PostProcessorSequence,
    RobertaProcessing,
    SpecialPiece,
    TemplatePiece,
    TemplateProcessing,
    TemplateToken,
)
from exporter.tokenizer.nodes.pre_tokenizers import (
    BertPreTokenizer,
    ByteLevelPreTokenizer,
    CharDelimiterSplit,
    Digits,
    FixedLength,
    PreTokenizer,
    PreTokenizerSequence,
    Punctuation,
    Split,
    UnicodeScripts,
    Whitespace,
    WhitespaceSplit,
)

__all__ = [
    "BPE",
    "CTC",
    "NFC",
    "NFD",
    "NFKC",
    "NFKD",
    "AddedToken",
    "BPEDecoder",
    "Behavior",
    "BertNormalizer",
    "BertPreTokenizer",
    "BertProcessing",
    "ByteFallback",
    "ByteLevelDecoder",
    "ByteLevelNormalizer",
    "ByteLevelPreTokenizer",
    "ByteLevelProcessing",
    "CharDelimiterSplit",
    "Decoder",
    "DecoderSequence",
    "Digits",
    "FixedLength",
    "Fuse",
    "Lowercase",
    "Metaspace",
    "Model",
    "Nmt",
    "Node",
    "Normalizer",
    "NormalizerSequence",
    "Pattern",
    "PostProcessor",
    "PostProcessorSequence",
    "PreTokenizer",
    "PreTokenizerSequence",
    "Precompiled",
    "Prepend",
    "PrependScheme",
    "Punctuation",
    "ReplaceDecoder",
    "ReplaceNormalizer",
    "RobertaProcessing",
    "SpecialPiece",
    "Split",
    "StripAccents",
    "StripDecoder",
    "StripNormalizer",
    "TemplatePiece",
    "TemplateProcessing",
    "TemplateToken",
    "TokenizerFile",
    "UnicodeScripts",
    "Unigram",
    "Whitespace",
    "WhitespaceSplit",
    "WordLevel",
    "WordPiece",
    "WordPieceDecoder",
    "ignored_fields",
    "parse_tokenizer",
    "read_tokenizer",
]
