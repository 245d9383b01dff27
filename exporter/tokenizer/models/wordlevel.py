"""WordLevel: a word is one token, or unk.

Source: ``models/wordlevel`` of the ``tokenizers`` library, 0.23.
"""

from __future__ import annotations

import tensorflow as tf

from exporter.errors import TokenizerUnsupportedError
from exporter.tokenizer import nodes
from exporter.tokenizer.bytestream import byte_level_bytes
from exporter.tokenizer.tables import WordTable, on_cpu


class WordLevel(tf.Module):  # type: ignore[misc]
    """string[n] -> RaggedTensor int32 [n, (1)]."""

    def __init__(self, node: nodes.WordLevel, *, byte_level: bool, path: str = "model") -> None:
        super().__init__(name="wordlevel")
        if node.unk_token not in node.vocab:
            reason = f"{node.unk_token!r} is not in the vocabulary: the reference fails on unknown words"
            raise TokenizerUnsupportedError(f"{path}.unk_token", reason)
        self._unk = node.vocab[node.unk_token]
        spell = byte_level_bytes if byte_level else str.encode
        words = ((spell(token), number) for token, number in node.vocab.items())
        self._words = WordTable("wordlevel", {word: number for word, number in words if word is not None})

    @on_cpu
    def __call__(self, words: tf.Tensor) -> tf.RaggedTensor:
        ids = self._words(words)
        ids = tf.where(ids < 0, self._unk, ids)
        splits = tf.range(tf.size(words, tf.int64) + 1)
        return tf.RaggedTensor.from_row_splits(ids, splits, validate=False)
