"""Models of tokenizer.json as graph modules: words to ids."""

from __future__ import annotations

from typing import Any

from exporter.errors import TokenizerUnsupportedError
from exporter.tokenizer import nodes
from exporter.tokenizer.models.bpe import BPE

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
    raise TokenizerUnsupportedError(path, f"no model of type {node.type}")
