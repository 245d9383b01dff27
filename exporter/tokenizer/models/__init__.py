"""Models of tokenizer.json as graph modules: words to ids."""

from __future__ import annotations

from typing import Any

from exporter.errors import TokenizerUnsupportedError
from exporter.tokenizer import nodes
from exporter.tokenizer.models.bpe import BPE
from exporter.tokenizer.models.unigram import Unigram
from exporter.tokenizer.models.wordlevel import WordLevel
from exporter.tokenizer.models.wordpiece import WordPiece

__all__ = ["build_model"]


def build_model(node: nodes.Model, *, byte_level: bool = False, path: str = "model") -> Any:
    """The ``tf.Module`` of a model node: string[n] -> RaggedTensor int32 [n, (ids)].

    Words are non-empty, valid UTF-8 and need not be unique (equal words cost equal work).

    Args:
      node: the model.
      byte_level: words are raw bytes, and the vocabulary is written in GPT-2's stand-in characters (the
        pipeline maps bytes to them just before the model).
      path: the node's place in tokenizer.json, for errors.

    Raises:
      TokenizerUnsupportedError: what cannot be reproduced exactly.
    """
    if isinstance(node, nodes.BPE):
        return BPE(node, byte_level=byte_level, path=path)
    if isinstance(node, nodes.WordLevel):
        return WordLevel(node, byte_level=byte_level, path=path)
    if byte_level:
        raise TokenizerUnsupportedError(path, f"{node.type} behind a byte-level pre-tokenizer")
    return WordPiece(node, path) if isinstance(node, nodes.WordPiece) else Unigram(node, path)
