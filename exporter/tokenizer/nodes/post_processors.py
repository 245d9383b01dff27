"""Post-processors."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field

from exporter.tokenizer.nodes.base import ClosedNode, Node


class SpecialPiece(Node):
    id: str
    type_id: int = 0


class TemplatePiece(ClosedNode):
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
    special_tokens: dict[str, TemplateToken] = Field(default_factory=dict)


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

PostProcessorSequence.model_rebuild()
