"""SentencePiece models as the C++ library (0.2) encodes with them.

BPE models go through tf.Text's operation. For Unigram models the operation only normalizes: which of several
equally good divisions is chosen differs between versions of the library, so the Viterbi is ours, in the
library's arithmetic: float32, all of a text being one word.

Source: sentencepiece's unigram_model.cc (``EncodeOptimized``) and sentencepiece_processor.cc.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_text as tf_text
from sentencepiece import sentencepiece_model_pb2

from exporter.devices import CPU
from exporter.errors import TokenizerUnsupportedError
from exporter.tokenizer.bytestream import END, code_points, flat_bytes, is_lead
from exporter.tokenizer.models.segments import best_edges
from exporter.tokenizer.models.trie import Trie
from exporter.tokenizer.models.unigram import best_path, find_edges
from exporter.tokenizer.tables import array, on_cpu

_UNK_PENALTY = np.float32(10.0)
_Piece = sentencepiece_model_pb2.ModelProto.SentencePiece
_UNIGRAM, _BPE = sentencepiece_model_pb2.TrainerSpec.UNIGRAM, sentencepiece_model_pb2.TrainerSpec.BPE


class SentencePieces(tf.Module):
    """string[n] -> RaggedTensor string [n, (pieces)]: what ``encode(text, out_type=str)`` gives."""

    def __init__(self, path: Path) -> None:
        super().__init__(name="sentencepiece")
        content = path.read_bytes()
        proto = sentencepiece_model_pb2.ModelProto.FromString(content)
        _refuse(proto, path.name)
        with tf.device(CPU):
            self._tokenizer = tf_text.SentencepieceTokenizer(content, out_type=tf.string)
        self._viterbi = _Viterbi(proto) if proto.trainer_spec.model_type == _UNIGRAM else None

    @on_cpu
    def __call__(self, texts: tf.Tensor) -> tf.RaggedTensor:
        found = self._tokenizer.tokenize(texts)
        if self._viterbi is None:
            return found
        # The pieces of a text, one after the other, are the normalized text, whatever the division.
        rows = tf.size(texts)
        normalized = tf.strings.unsorted_segment_join(
            found.flat_values, tf.cast(found.value_rowids(), tf.int32), rows
        )
        return self._viterbi(normalized)


class _Viterbi(tf.Module):
    """string[n], normalized -> RaggedTensor string [n, (pieces)]; neighbouring unknown characters are one."""

    def __init__(self, proto: Any) -> None:
        super().__init__(name="viterbi")
        normal = [piece for piece in proto.pieces if piece.type == _Piece.NORMAL]
        self._unknown = len(normal)
        self._trie = Trie({piece.piece.encode(): i for i, piece in enumerate(normal)})
        self._longest = max(len(piece.piece) for piece in normal)
        scores = [piece.score for piece in normal]
        self._scores = array([*scores, np.float32(min(scores)) - _UNK_PENALTY], np.float32)

    @on_cpu
    def __call__(self, texts: tf.Tensor) -> tf.RaggedTensor:
        stream = flat_bytes(texts)
        edges = find_edges(self._trie, stream, self._unknown)
        scores = tf.gather(self._scores, edges.value)
        values = best_path(stream, edges, scores, self._longest, best_edges)
        return self._pieces(stream, values)

    def _pieces(self, stream: tf.Tensor, values: tf.Tensor) -> tf.RaggedTensor:
        """The strings; written anew, because cutting them out of a text would copy it for each of them."""
        leads = tf.where(is_lead(stream))[:, 0]
        value, end = tf.gather(values, leads), tf.equal(tf.gather(stream, leads), END)
        unknown = tf.equal(value, self._unknown)
        begins = (value >= 0) & ~(unknown & tf.concat([[False], unknown[:-1]], 0))
        points = tf.boolean_mask(code_points(stream, leads), ~end)
        starts = tf.where(tf.boolean_mask(begins, ~end))[:, 0]
        pieces = tf.raw_ops.UnicodeEncode(
            input_values=points,
            input_splits=tf.concat([starts, tf.size(points, tf.int64)[None]], 0),
            output_encoding="UTF-8",
        )
        counts = tf.boolean_mask(tf.cumsum(tf.cast(begins, tf.int64)), end)
        splits = tf.concat([tf.zeros([1], tf.int64), counts], 0)
        return tf.RaggedTensor.from_row_splits(pieces, splits, validate=False)


def _refuse(proto: Any, name: str) -> None:
    kind = proto.trainer_spec.model_type
    if kind not in (_UNIGRAM, _BPE):
        raise TokenizerUnsupportedError(name, "only Unigram and BPE SentencePiece models are compiled")
    if proto.trainer_spec.byte_fallback:
        raise TokenizerUnsupportedError(name, "byte_fallback in a SentencePiece model read in Python")
    defined = [piece.piece for piece in proto.pieces if piece.type == _Piece.USER_DEFINED]
    if kind == _UNIGRAM and defined:
        raise TokenizerUnsupportedError(name, f"user-defined symbol {defined[0]!r} in a Unigram model")
    if proto.trainer_spec.treat_whitespace_as_suffix:
        raise TokenizerUnsupportedError(name, "treat_whitespace_as_suffix")
