"""Models."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, field_validator

from exporter.tokenizer.nodes.base import Node


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
