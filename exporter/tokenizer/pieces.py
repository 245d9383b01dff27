"""Texts on their way through the pipeline: one flat string tensor, cut by marker bytes.

The bytes 0xF8 to 0xFF occur in no UTF-8 text, and no RE2 class matches them. So

* ``CUT`` stands wherever a text is to be split: a regex never matches across it, several pre-tokenizers can
  work on one string, and the string is split once at the end;
* an added token that was found is replaced by a code of such bytes (``token_code``), which no later
  normalizer or pre-tokenizer touches;
* where a template's tokens are found before its texts are joined with what people wrote, a code stands
  between two marks (``marked``) until the pass comes that looks for that token.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

CUT = b"\xff"
_TOKEN = b"\xfe"
_DIGITS = b"\xf8\xf9\xfa\xfb\xfc\xfd"
#: Around tokens of the pass over raw, and of the pass over normalized text: no bytes of UTF-8 either.
RAW_MARK, NORMALIZED_MARK = b"\xf7", b"\xf6"


class Pieces(NamedTuple):
    """Pieces of a batch of texts.

    Attributes:
      texts: string [pieces], in order; each may hold ``CUT`` marks.
      splits: int64 [rows + 1]; row r has the pieces ``splits[r]`` to ``splits[r + 1]``.
    """

    texts: tf.Tensor
    splits: tf.Tensor

    def with_texts(self, texts: tf.Tensor) -> Pieces:
        """The same pieces with other texts."""
        return Pieces(texts, self.splits)


def from_rows(texts: tf.Tensor) -> Pieces:
    """string [rows] -> one piece a row."""
    return Pieces(texts, tf.range(tf.size(texts, tf.int64) + 1, dtype=tf.int64))


def split_at_cuts(pieces: Pieces) -> Pieces:
    """Splits every text at its marks and drops what is empty, as the library does after every split."""
    parts = tf.raw_ops.StringSplitV2(input=pieces.texts, sep=CUT)
    kept = tf.where(tf.strings.length(parts.values) > 0)[:, 0]
    parents = tf.gather(parts.indices[:, 0], kept)
    return Pieces(tf.gather(parts.values, kept), tf.searchsorted(parents, pieces.splits, out_type=tf.int64))


def begins_row(pieces: Pieces) -> tf.Tensor:
    """bool [pieces]: whether a piece is the first of its row."""
    return _marked(pieces, pieces.splits[:-1])


def ends_row(pieces: Pieces) -> tf.Tensor:
    """bool [pieces]: whether a piece is the last of its row."""
    return _marked(pieces, pieces.splits[1:] - 1)


def _marked(pieces: Pieces, places: tf.Tensor) -> tf.Tensor:
    """True at the place that each row with pieces names."""
    places = tf.boolean_mask(places, pieces.splits[1:] > pieces.splits[:-1])
    size = tf.size(pieces.texts, tf.int64)[tf.newaxis]
    return tf.scatter_nd(places[:, tf.newaxis], tf.ones_like(places, tf.bool), size)


def token_code(token_id: int) -> bytes:
    """The in-band form of a token that was found: a marker byte, then the id in base 6."""
    digits = b""
    while token_id:
        token_id, digit = divmod(token_id, len(_DIGITS))
        digits += _DIGITS[digit : digit + 1]
    return _TOKEN + digits


def joined(texts: tf.Tensor, rows: tf.Tensor, count: tf.Tensor, separator: bytes = b"") -> tf.Tensor:
    """string [n] of increasing ``rows`` -> string [count]: each row's texts in one."""
    return tf.strings.unsorted_segment_join(texts, rows, count, separator=separator)


def cut_at(texts: tf.Tensor, mark: bytes) -> tf.Tensor:
    """string [n]: every ``mark`` has become ``CUT``."""
    parts = tf.raw_ops.StringSplitV2(input=texts, sep=mark)
    return joined(parts.values, parts.indices[:, 0], tf.size(texts, tf.int64), CUT)


def is_token(texts: tf.Tensor) -> tf.Tensor:
    """string [n] -> bool [n]: whether a piece is the code of a token."""
    return tf.strings.substr(texts, 0, 1) == _TOKEN
