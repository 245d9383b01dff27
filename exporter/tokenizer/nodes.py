"""tokenizer.json as typed, frozen nodes: the compiler's input language.

Every section is a union discriminated by ``type``. Files of all ages are read: a model without ``type``,
merges as ``"a b"`` strings or as pairs, ``add_prefix_space`` where ``prepend_scheme`` stands today. A node
or field that is not listed here is refused with its path, such as ``pre_tokenizer.pretokenizers[1]``:
what is not understood cannot be reproduced. ``truncation`` and ``padding`` are read and set aside (the
served graph has its own buckets).

Source: the serialisation of the ``tokenizers`` library, 0.9 to 0.23.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from exporter.errors import CheckpointError, TokenizerUnsupportedError, did_you_mean

Behavior = Literal["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]
PrependScheme = Literal["first", "never", "always"]


class Node(BaseModel):
    """Base of every node: frozen, and closed against fields that we do not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Pattern(Node):
    """A ``{"String": ...}`` or ``{"Regex": ...}`` pattern; exactly one of the two is set."""

    string: str | None = Field(default=None, alias="String")
    regex: str | None = Field(default=None, alias="Regex")

    @model_validator(mode="after")
    def _one(self) -> Pattern:
        if (self.string is None) == (self.regex is None):
            raise ValueError("a pattern is either a String or a Regex")
        return self


class AddedToken(Node):
    """A token that is cut out of the text before the model sees it."""

    id: int
    content: str
    single_word: bool = False
    lstrip: bool = False
    rstrip: bool = False
    normalized: bool = True
    special: bool = False


# ---------------------------------------------------------------------------------------- normalizers


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

# ------------------------------------------------------------------------------------- pre-tokenizers


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


class Metaspace(Node):
    """Pre-tokenizer and decoder. ``add_prefix_space`` and ``str_rep`` are the spelling of older files."""

    type: Literal["Metaspace"]
    replacement: str = "\u2581"
    prepend_scheme: PrependScheme = "always"
    split: bool = True

    @model_validator(mode="before")
    @classmethod
    def _old_spelling(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        data = {key: value for key, value in data.items() if key != "str_rep"}
        if data.pop("add_prefix_space", None) is False:
            if data.get("prepend_scheme", "never") != "never":
                raise ValueError("add_prefix_space=false contradicts prepend_scheme")
            data["prepend_scheme"] = "never"
        return data


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

# --------------------------------------------------------------------------------------------- models


class BPE(Node):
    """``merges`` in rank order. An empty affix is the same as none."""

    type: Literal["BPE"]
    vocab: dict[str, int]
    merges: tuple[tuple[str, str], ...]
    dropout: float | None = None
    unk_token: str | None = None
    continuing_subword_prefix: str | None = None
    end_of_word_suffix: str | None = None
    fuse_unk: bool = False
    byte_fallback: bool = False
    ignore_merges: bool = False

    @field_validator("merges", mode="before")
    @classmethod
    def _pairs(cls, merges: Any) -> Any:
        """``"a b"`` -> ``("a", "b")``; the header line of a merges.txt may stand among them."""
        if not isinstance(merges, list) or not merges or not isinstance(merges[0], str):
            return merges
        return [tuple(line.split(" ")) for line in merges if not line.startswith("#version")]


class WordPiece(Node):
    type: Literal["WordPiece"]
    vocab: dict[str, int]
    unk_token: str = "[UNK]"
    continuing_subword_prefix: str = "##"
    max_input_chars_per_word: int = 100


class WordLevel(Node):
    type: Literal["WordLevel"]
    vocab: dict[str, int]
    unk_token: str


class Unigram(Node):
    """``vocab`` by id: (piece, log probability)."""

    type: Literal["Unigram"]
    vocab: tuple[tuple[str, float], ...]
    unk_id: int | None = None
    byte_fallback: bool = False


Model = Annotated[BPE | WordPiece | WordLevel | Unigram, Discriminator("type")]

# ------------------------------------------------------------------------------------ post-processors


class SpecialPiece(Node):
    id: str
    type_id: int = 0


class TemplatePiece(Node):
    """One place of a template: a special token, or sequence ``A`` (or ``B`` in a pair)."""

    special_token: SpecialPiece | None = Field(default=None, alias="SpecialToken")
    sequence: SpecialPiece | None = Field(default=None, alias="Sequence")


class TemplateToken(Node):
    id: str
    ids: tuple[int, ...]
    tokens: tuple[str, ...]


class TemplateProcessing(Node):
    type: Literal["TemplateProcessing"]
    single: tuple[TemplatePiece, ...]
    pair: tuple[TemplatePiece, ...] = ()
    special_tokens: dict[str, TemplateToken] = {}


class RobertaProcessing(Node):
    """``sep`` and ``cls`` are (token, id); the other two change offsets only."""

    type: Literal["RobertaProcessing"]
    sep: tuple[str, int]
    cls: tuple[str, int]
    trim_offsets: bool = True
    add_prefix_space: bool = True


class BertProcessing(Node):
    type: Literal["BertProcessing"]
    sep: tuple[str, int]
    cls: tuple[str, int]


class ByteLevelProcessing(Node):
    """Changes offsets only."""

    type: Literal["ByteLevel"]
    add_prefix_space: bool = True
    trim_offsets: bool = True
    use_regex: bool = True


class PostProcessorSequence(Node):
    type: Literal["Sequence"]
    processors: tuple[PostProcessor, ...]


PostProcessor = Annotated[
    TemplateProcessing | RobertaProcessing | BertProcessing | ByteLevelProcessing | PostProcessorSequence,
    Discriminator("type"),
]

# ------------------------------------------------------------------------------------------- decoders


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

# ----------------------------------------------------------------------------------------- whole file


class TokenizerFile(Node):
    """A whole tokenizer.json."""

    version: str | None = None
    truncation: Any = None
    padding: Any = None
    added_tokens: tuple[AddedToken, ...] = ()
    normalizer: Normalizer | None = None
    pre_tokenizer: PreTokenizer | None = None
    post_processor: PostProcessor | None = None
    decoder: Decoder | None = None
    model: Model

    @field_validator("model", mode="before")
    @classmethod
    def _untyped_model(cls, model: Any) -> Any:
        """Files of the library before 0.11 name no model type; the fields tell it, as there."""
        if not isinstance(model, dict) or "type" in model:
            return model
        if "merges" in model:
            kind = "BPE"
        elif "max_input_chars_per_word" in model:
            kind = "WordPiece"
        else:
            kind = "Unigram" if isinstance(model.get("vocab"), list) else "WordLevel"
        return {"type": kind, **model}


def parse_tokenizer(data: dict[str, Any]) -> TokenizerFile:
    """The typed form of a parsed tokenizer.json.

    Raises:
      TokenizerUnsupportedError: an unknown node, an unknown field or a value of the wrong type; the
        message and ``path`` name its place.
    """
    try:
        return TokenizerFile.model_validate(data)
    except ValidationError as error:
        raise _readable(error) from None


def read_tokenizer(path: Path) -> TokenizerFile:
    """Reads and parses a tokenizer.json; CheckpointError where it cannot be read as JSON."""
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: not a readable JSON file: {error}") from error
    if not isinstance(data, dict):
        raise CheckpointError(f"{path}: expected a JSON object, found {type(data).__name__}")
    return parse_tokenizer(data)


def _readable(error: ValidationError) -> TokenizerUnsupportedError:
    """The first problem of a failed validation, with its place spelled as in the file."""
    problem = error.errors(include_url=False, include_input=True)[0]
    path = _spell(problem["loc"])
    if problem["type"] == "union_tag_invalid":
        context = problem["ctx"]
        known = [name.strip().strip("'") for name in str(context["expected_tags"]).split(",")]
        tag = str(context["tag"])
        reason = f"unknown node type {tag!r}{did_you_mean(tag, known)}; known: {', '.join(known)}"
    elif problem["type"] == "extra_forbidden":
        reason = f"unknown field (value {_short(problem['input'])})"
    else:
        reason = f"{problem['msg']} (value {_short(problem['input'])})"
    return TokenizerUnsupportedError(path, reason)


def _spell(location: tuple[int | str, ...]) -> str:
    """``("pre_tokenizer", "Sequence", "pretokenizers", 1)`` -> ``pre_tokenizer.pretokenizers[1]``.

    pydantic puts the tag of each union on the way into the location; every tag is CamelCase, no field is.
    """
    path = ""
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
        elif part not in _TAGS:
            path += f".{part}" if path else part
    return path


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _tags() -> frozenset[str]:
    """Every node type that a file may name."""
    return frozenset(
        str(node.model_fields["type"].annotation.__args__[0])  # type: ignore[union-attr]
        for node in Node.__subclasses__()
        if "type" in node.model_fields
    )


for _node in (
    NormalizerSequence,
    PreTokenizerSequence,
    PostProcessorSequence,
    DecoderSequence,
    TokenizerFile,
):
    _node.model_rebuild()
_TAGS = _tags()
