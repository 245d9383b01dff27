"""A compiled tokenizer traced, or saved with the signatures of an export and read back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorflow as tf

from exporter.tokenizer import TokenizerGraph
from tests.tokenizer.graphs import assert_on_cpu
from tests.tokenizer.support import STRINGS, traced

DECODE = [
    tf.TensorSpec([None, None], tf.int32, name="input_ids"),
    tf.TensorSpec([None], tf.int32, name="num_tokens"),
]


class Served(tf.Module):
    """The two signatures of an export."""

    def __init__(self, graph: TokenizerGraph) -> None:
        super().__init__()
        self.graph = graph
        self.encode = tf.function(self._encode, STRINGS, autograph=False)
        self.decode = tf.function(self._decode, DECODE, autograph=False)

    def _encode(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        ids = self.graph.encode(text)
        return {"input_ids": ids.to_tensor(), "num_tokens": tf.cast(ids.row_lengths(), tf.int32)}

    def _decode(self, input_ids: tf.Tensor, num_tokens: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"text": self.graph.decode(input_ids, num_tokens)}


def save(graph: TokenizerGraph, directory: Path) -> None:
    """Writes a SavedModel with ``encode`` and ``decode``."""
    served = Served(graph)
    signatures = {"encode": served.encode, "decode": served.decode}
    tf.saved_model.save(served, str(directory), signatures=signatures)


class Traced(TokenizerGraph):
    """A compiled tokenizer that is traced once, and may be called with and without a graph."""

    def __init__(self, graph: TokenizerGraph) -> None:
        super().__init__(name="traced")
        self.graph = graph
        self.kind, self.vocab_size = graph.kind, graph.vocab_size
        self._encode = traced(graph.encode)
        self._decode = tf.function(graph.decode, DECODE, autograph=False).get_concrete_function()
        assert_on_cpu(self._decode)

    def encode(self, text: tf.Tensor, add_special_tokens: bool = True) -> tf.RaggedTensor:
        assert add_special_tokens
        return self._encode(text)

    def decode(self, ids: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
        return self._decode(ids, lengths)


class Reloaded(TokenizerGraph):
    """The signatures of a saved tokenizer behind the face of a compiled one."""

    def __init__(self, graph: TokenizerGraph, directory: Path) -> None:
        """Saves ``graph`` to ``directory`` and loads it from there; only its description is taken over."""
        super().__init__(name="reloaded")
        save(graph, directory)
        self.kind, self.vocab_size = graph.kind, graph.vocab_size
        self._loaded: Any = tf.saved_model.load(str(directory))

    def encode(self, text: tf.Tensor, add_special_tokens: bool = True) -> tf.RaggedTensor:
        assert add_special_tokens
        answer = self._loaded.signatures["encode"](text=text)
        return tf.RaggedTensor.from_tensor(answer["input_ids"], answer["num_tokens"])

    def decode(self, ids: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
        return self._loaded.signatures["decode"](input_ids=ids, num_tokens=lengths)["text"]
