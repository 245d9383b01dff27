"""Unigram: the most probable division into pieces (Viterbi), with the library's own tie-breaking.

A place is reached first by the piece that began earliest, and a later candidate replaces it only if its
score is greater: so of equal scores the longest last piece wins. Scores are float64 sums from left to
right, as in the reference.

Source: ``encode_optimized`` in ``models/unigram`` of the ``tokenizers`` library, 0.23.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf
import tokenizers

from exporter.errors import TokenizerUnsupportedError
from exporter.tokenizer import nodes
from exporter.tokenizer.bytestream import END, flat_bytes, is_lead
from exporter.tokenizer.models.paths import cut_rows
from exporter.tokenizer.models.trie import Trie
from exporter.tokenizer.models.viterbi import Words, best_edges
from exporter.tokenizer.tables import WordTable, array, on_cpu

_UNK_PENALTY = 10.0
_DROP = -1

Search = Callable[[Words, int], tf.Tensor]
"""``viterbi.best_edges``, or another way to find such edges."""


class Edges(NamedTuple):
    """Pieces that occur in the stream, and one unk for each character that is no piece itself."""

    start: tf.Tensor  # int32[edges], byte place
    stop: tf.Tensor  # int32[edges]
    value: tf.Tensor  # int32[edges], id; the number of ids for an unknown character


class Unigram(tf.Module):  # type: ignore[misc]
    """string[n] -> RaggedTensor int32 [n, (ids)]."""

    def __init__(self, node: nodes.Unigram, path: str = "model") -> None:
        super().__init__(name="unigram")
        unk = _checked_unk(node, path)
        self._end = len(node.vocab)
        self._unknown = len(node.vocab)  # stands for an unknown character until the end
        self._unk = unk
        scores = [score for _, score in node.vocab]
        self._scores = array([*scores, min(scores) - _UNK_PENALTY], np.float64)
        # Of equal pieces the last one counts.
        pieces = {piece.encode(): i for i, (piece, _) in enumerate(node.vocab) if piece}
        self._trie = Trie(pieces)
        self._longest = max(1, *(len(piece) for piece, _ in node.vocab))
        self._byte_ids = _byte_ids(node, path)
        library = tokenizers.models.Unigram(list(node.vocab), unk, node.byte_fallback)
        whole = {p: i for p, i in pieces.items() if [t.id for t in library.tokenize(p.decode())] == [i]}
        self._whole = WordTable("unigram", whole)

    @on_cpu
    def __call__(self, words: tf.Tensor) -> tf.RaggedTensor:
        whole = self._whole(words)
        stream = flat_bytes(tf.where(whole < 0, words, ""))
        edges = find_edges(self._trie, stream, self._unknown)
        scores = tf.gather(self._scores, edges.value)
        ids = self._emit(stream, best_path(stream, edges, scores, self._longest, best_edges))
        return cut_rows(tf.where(tf.equal(stream, END), self._end, ids), self._end, whole)

    def _emit(self, stream: tf.Tensor, ids: tf.Tensor) -> tf.Tensor:
        """Fuses neighbouring unks, and spells them in byte tokens where there are some; int32[bytes]."""
        begins = ids >= 0
        piece = tf.cumsum(tf.cast(begins | tf.equal(stream, END), tf.int32)) - 1
        at_begin = tf.boolean_mask(ids, begins | tf.equal(stream, END))  # ends hold _DROP
        unk = tf.equal(at_begin, self._unknown) | tf.equal(at_begin, self._unk)
        goes_on = unk & tf.concat([tf.zeros_like(unk[:1]), unk[:-1]], 0)
        ids = tf.where(tf.gather(unk, piece) & begins, self._unk, ids)
        ids = tf.where(tf.gather(goes_on, piece), _DROP, ids)
        if self._byte_ids is None:
            return ids
        # The unk piece itself, written out in the text, stays one token if no other unk touches it.
        touched = goes_on | tf.concat([goes_on[1:], tf.zeros_like(goes_on[:1])], 0)
        spelled = tf.gather(unk & (touched | tf.equal(at_begin, self._unknown)), piece)
        return tf.where(spelled, tf.gather(self._byte_ids, stream), ids)


def find_edges(trie: Trie, stream: tf.Tensor, unknown: int) -> Edges:
    """All pieces in the stream, then ``unknown`` for each character that is no piece of its own."""
    leads = tf.cast(tf.where(is_lead(stream))[:, 0], tf.int32)
    stops = tf.concat([leads[1:], tf.size(stream)[None]], 0)
    inside = tf.not_equal(tf.gather(stream, leads), END)
    starts, stops = tf.boolean_mask(leads, inside), tf.boolean_mask(stops, inside)
    found = trie.matches(stream, starts, tf.zeros_like(starts))
    # Characters that are pieces: entries that stop where the next character begins.
    character_stop = tf.scatter_nd(starts[:, None], stops, tf.shape(stream))
    single = tf.equal(found.stop, tf.gather(character_stop, found.start))
    is_piece = tf.scatter_nd(found.start[:, None], tf.cast(single, tf.int32), tf.shape(stream)) > 0
    lacking = ~tf.gather(is_piece, starts)
    starts, stops = tf.boolean_mask(starts, lacking), tf.boolean_mask(stops, lacking)
    return Edges(
        tf.concat([found.start, starts], 0),
        tf.concat([found.stop, stops], 0),
        tf.concat([found.value, tf.fill(tf.shape(starts), unknown)], 0),
    )


def best_path(stream: tf.Tensor, edges: Edges, scores: tf.Tensor, longest: int, search: Search) -> tf.Tensor:
    """The best way through each word.

    Args:
      stream: int32[bytes], see ``flat_bytes``.
      edges: the pieces.
      scores: [edges], in the type that sums are kept in.
      longest: characters of the longest piece.
      search: what finds the ways.

    Returns:
      int32[bytes]: at the places where the path's edges begin their values, -1 elsewhere.
    """
    lead = is_lead(stream)
    place = tf.cumsum(tf.cast(lead, tf.int32)) - 1
    end = tf.boolean_mask(tf.equal(stream, END), lead)
    path = search(Words(end, tf.gather(place, edges.start), tf.gather(place, edges.stop), scores), longest)
    starts, values = tf.gather(edges.start, path), tf.gather(edges.value, path)
    return tf.tensor_scatter_nd_update(tf.fill(tf.shape(stream), _DROP), starts[:, None], values)


def _checked_unk(node: nodes.Unigram, path: str) -> int:
    if node.unk_id is None or node.unk_id >= len(node.vocab):
        reason = f"unk_id is {node.unk_id}: the reference fails on unknown characters"
        raise TokenizerUnsupportedError(f"{path}.unk_id", reason)
    scores = [score for _, score in node.vocab]
    if not all(math.isfinite(score) for score in scores) or min(scores) >= _UNK_PENALTY:
        # With such scores an unknown run could be a piece; scores are log probabilities.
        raise TokenizerUnsupportedError(f"{path}.vocab", "scores must be finite, the lowest below 10")
    return node.unk_id


def _byte_ids(node: nodes.Unigram, path: str) -> tf.Variable | None:
    """ids of ``<0x00>`` ... ``<0xFF>``, or None without byte fallback."""
    if not node.byte_fallback:
        return None
    vocab = {piece: i for i, (piece, _) in enumerate(node.vocab)}
    ids = [vocab.get(f"<0x{byte:02X}>", -1) for byte in range(256)]
    missing = [byte for byte in (*range(0xC0), *range(0xC2, 0xF5)) if ids[byte] < 0]
    if missing:
        reason = f"byte_fallback, but <0x{missing[0]:02X}> is not in the vocabulary"
        raise TokenizerUnsupportedError(f"{path}.byte_fallback", reason)
    return array(ids)
