"""WordPiece: the longest token first, then the longest continuation, and so on; unk if that gets stuck.

Source: ``models/wordpiece`` of the ``tokenizers`` library, 0.23.
"""

from __future__ import annotations

import tensorflow as tf

from exporter.errors import TokenizerUnsupportedError
from exporter.tokenizer import nodes
from exporter.tokenizer.bytestream import END, flat_bytes, is_lead
from exporter.tokenizer.models.paths import cut_rows, follow
from exporter.tokenizer.models.trie import Trie
from exporter.tokenizer.tables import WordTable, on_cpu

_DROP = -1


class WordPiece(tf.Module):  # type: ignore[misc]
    """string[n] -> RaggedTensor int32 [n, (ids)]."""

    def __init__(self, node: nodes.WordPiece, path: str = "model") -> None:
        super().__init__(name="wordpiece")
        if node.unk_token not in node.vocab:
            reason = f"{node.unk_token!r} is not in the vocabulary: the reference fails on unknown words"
            raise TokenizerUnsupportedError(f"{path}.unk_token", reason)
        self._unk = node.vocab[node.unk_token]
        self._end = max(node.vocab.values()) + 1
        self._max_characters = node.max_input_chars_per_word
        entries = {token.encode(): number for token, number in node.vocab.items() if token}
        # A continuation is what follows the prefix in the same trie.
        self._trie = Trie(entries)
        self._continuing = self._trie.node(node.continuing_subword_prefix.encode())
        short = {w: i for w, i in entries.items() if len(w.decode()) <= self._max_characters}
        self._whole = WordTable("wordpiece", short)

    @on_cpu
    def __call__(self, words: tf.Tensor) -> tf.RaggedTensor:
        whole = self._whole(words)
        whole = tf.where((whole < 0) & self._too_long(words), self._unk, whole)
        stream = flat_bytes(tf.where(whole < 0, words, ""))
        ids, stuck = self._greedy(stream)
        end = tf.equal(stream, END)
        # A word that gets stuck becomes unk as a whole.
        word = tf.cumsum(tf.cast(end, tf.int32), exclusive=True)
        bad = tf.math.unsorted_segment_max(tf.cast(stuck, tf.int32), word, tf.size(words)) > 0
        ids = tf.where(end, self._end, tf.where(tf.gather(bad, word), _DROP, ids))
        return cut_rows(ids, self._end, tf.where((whole < 0) & bad, self._unk, whole))

    def _too_long(self, words: tf.Tensor) -> tf.Tensor:
        """Whether a word has too many characters; bool[n]."""
        stream = flat_bytes(words)
        word = tf.cumsum(tf.cast(tf.equal(stream, END), tf.int32), exclusive=True)
        leads = tf.cast(is_lead(stream), tf.int32)  # END counts as one
        return tf.math.unsorted_segment_sum(leads, word, tf.size(words)) - 1 > self._max_characters

    def _greedy(self, stream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """int32[bytes] the token that begins there, or ``_DROP``; bool[bytes] where none can follow."""
        end = tf.equal(stream, END)
        first = tf.concat([tf.ones_like(end[:1]), end[:-1]], 0)
        starts = tf.where(is_lead(stream) & ~end if self._continuing >= 0 else first & ~end)[:, 0]
        nodes_ = tf.where(tf.gather(first, starts), 0, self._continuing)
        matches = self._trie.matches(stream, tf.cast(starts, tf.int32), nodes_)
        # The longest match of each place: stop and id in one number.
        packed = tf.cast(matches.stop, tf.int64) * (1 << 32) + tf.cast(matches.value, tf.int64)
        longest = tf.math.unsorted_segment_max(packed, matches.start, tf.size(stream))
        matched = longest >= 0
        places = tf.range(tf.size(stream))
        following = tf.where(matched, tf.cast(longest // (1 << 32), tf.int32), places)
        reached = follow(following, tf.cast(tf.where(first)[:, 0], tf.int32))
        ids = tf.where(reached & matched, tf.cast(longest % (1 << 32), tf.int32), _DROP)
        return ids, reached & ~matched & ~end
